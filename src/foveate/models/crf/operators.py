"""Symmetric linear filters over the pixels of a batch, and what normalises them.

Shapes  values (B, L, H, W) -> (B, L, H, W), each label by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

# A filter K with K = K^T: linear in the values, so that its gradient is the filter itself.
Filter = Callable[[Tensor], Tensor]
Normalise = Literal["symmetric", "after", "before", "none"]
NORMALISE = ("symmetric", "after", "before", "none")
_LEAST = 1e-20


class _Symmetric(torch.autograd.Function):
    """A symmetric filter that autograd cannot look into; its gradient is the filter of the gradient."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, run: Filter) -> Tensor:
        ctx.run = run
        return run(values)

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> tuple[Tensor, None]:
        return symmetric(ctx.run, slopes[0]), None


def symmetric(run: Filter, values: Float[Tensor, "b l h w"]) -> Float[Tensor, "b l h w"]:
    """Run a symmetric filter so that gradients, of any order, flow to ``values``."""
    return _Symmetric.apply(values, run)


def normalised(run: Filter, ones: Float[Tensor, "b 1 h w"], how: Normalise) -> Filter:
    """Return a filter K divided by its row sums D = K 1.

    Args:
        run: The filter.
        ones: Of the batch and size that it filters.
        how: ``symmetric`` for D^-1/2 K D^-1/2, ``after`` for D^-1 K, ``before`` for K D^-1, ``none`` for K.
    """
    if how == "none":
        return run
    sums = run(ones)
    share = (sums.sqrt() if how == "symmetric" else sums).add(_LEAST).reciprocal()
    if how == "after":
        return lambda values: share * run(values)
    if how == "before":
        return lambda values: run(share * values)
    return lambda values: share * run(share * values)
