"""Equality to the bit of nested outputs."""

from __future__ import annotations

import torch
from torch import Tensor

from foveate.insert.holder import tensors_of


def equal(first: object, second: object) -> bool:
    """Return whether all tensors in two nested outputs are equal to the bit; not-a-number equals itself."""
    ours, theirs = list(tensors_of(first)), list(tensors_of(second))
    return len(ours) == len(theirs) and all(_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def _equal(first: Tensor, second: Tensor) -> bool:
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    if torch.equal(first, second):
        return True
    return bool(((first == second) | (first.isnan() & second.isnan())).all())
