"""Bounds of sizes, and counts of blocks, that a compiler or tracer knows as symbols."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor


def at_least_one(count: int) -> int:
    """Return ``count``, or 1 where it is less, for sizes that a compiler or tracer knows as symbols."""
    if isinstance(count, Tensor):
        return cast(int, count.clamp_min(1))  # as torch.jit.trace has them
    return cast(int, torch.sym_max(1, count))


def at_most(count: int, limit: int) -> int:
    """Return ``count``, or ``limit`` where it is more, for such sizes too."""
    if isinstance(count, Tensor):
        return cast(int, count.clamp_max(limit))
    return cast(int, torch.sym_min(count, limit))


def covering_blocks(length: int, side: int) -> int:
    """Return how many blocks of ``side`` cover ``length``; in an export one more, which is cut off again.

    Exported from an example of one block a program would take one block only.
    """
    return (length + side - 1) // side + (1 if torch.compiler.is_exporting() else 0)
