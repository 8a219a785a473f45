"""Whether the inner loops run compiled by numba or in plain PyTorch, with equal results."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from types import ModuleType

import torch
from torch import Tensor


def fast_for(tensor: Tensor, subject: str = "lattice") -> ModuleType | None:
    """Return the compiled loops of a subject if they can work on ``tensor``: on the CPU, with numba."""
    fits = tensor.device.type == "cpu" and tensor.dtype in (torch.float32, torch.float64, torch.int32)
    return compiled(subject) if fits else None


@functools.cache
def compiled(subject: str) -> ModuleType | None:
    """Return the compiled loops, or None without numba; imported with the first image, not before."""
    if importlib.util.find_spec("numba") is None:
        return None
    return importlib.import_module(f"foveate.models.crf.fast_{subject}")
