"""Linear filters over the pixels of a batch, and their normalisation.

Shapes  values (B, L, H, W) -> (B, L, H, W), each label by itself. Fast where the labels of a pixel lie side
        by side in memory (``channels_last``); so are the results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

Filter = Callable[[Tensor], Tensor]
# Takes the factors of the values before and after K, (B, 1, H, W) or None for 1, and returns the filter.
Kernel = Callable[[Tensor | None, Tensor | None], Filter]
Normalise = Literal["symmetric", "after", "before", "none"]
NORMALISE = ("symmetric", "after", "before", "none")
_LEAST = 1e-20


class _Linear(torch.autograd.Function):
    """A linear filter that autograd cannot trace; its gradient is the adjoint filter of the gradient."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, run: Filter, adjoint: Filter) -> Tensor:
        ctx.run, ctx.adjoint = run, adjoint
        return run(values)

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> tuple[Tensor, None, None]:
        return linear(ctx.adjoint, ctx.run, slopes[0]), None, None


def linear(run: Filter, adjoint: Filter, values: Float[Tensor, "b l h w"]) -> Float[Tensor, "b l h w"]:
    """Run a linear filter so that gradients, of any order, flow to ``values``."""
    found: Tensor = _Linear.apply(values, run, adjoint)
    return found


def normalised(kernel: Kernel, ones: Float[Tensor, "b 1 h w"], how: Normalise) -> Filter:
    """Return a filter K divided by its row sums D = K 1.

    Args:
        kernel: K.
        ones: Of the batch and size that it filters.
        how: ``symmetric`` for D^-1/2 K D^-1/2, ``after`` for D^-1 K, ``before`` for K D^-1, ``none`` for K.
    """
    if how == "none":
        return kernel(None, None)
    return kernel(*sides(kernel(None, None)(ones), how))


def sides(sums: Tensor, how: Normalise) -> tuple[Tensor | None, Tensor | None]:
    """Return the factors of the values before and after a kernel of these row sums; None for 1."""
    if how == "none":
        return None, None
    share = (sums.sqrt() if how == "symmetric" else sums).add(_LEAST).reciprocal()
    return None if how == "after" else share, None if how == "before" else share


def rows(values: Float[Tensor, "b l h w"]) -> Float[Tensor, "b n l"]:
    """Return one row of labels per pixel; a view if the labels are adjacent in memory."""
    return values.permute(0, 2, 3, 1).flatten(1, 2).contiguous()


def planes(found: Float[Tensor, "*rows l"], like: Float[Tensor, "b l h w"]) -> Float[Tensor, "b l h w"]:
    """Undo ``rows``, also for the rows of all images in one axis."""
    return found.view(len(like), *like.shape[2:], -1).permute(0, 3, 1, 2)
