"""A linear layer over the rows of a batch whose result is spread; see ``Rows``.

With a vocabulary behind it the result is by far the largest tensor of a step. Where few words are padding, it
costs less to compute their rows too, and to set them to zero, than to copy all others to their places.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from foveate.mechanisms.kernels.eager_cpu import traced
from foveate.models.decoders.rows import Rows

FULL = 0.85  # share of words that are there, from which on nothing is copied


def spread_linear(rows: Rows, layer: nn.Linear, x: Float[Tensor, "r f"]) -> Float[Tensor, "b t v"]:
    """Return ``rows.spread(layer(x))``."""
    whole = rows.batch * rows.steps
    if rows.order is None:
        found: Tensor = layer(rows.spread(x))
        return found
    plain = traced(x) or torch.is_autocast_enabled("cpu") or x.dtype != layer.weight.dtype
    if plain or len(x) < FULL * whole:
        return rows.spread(layer(x))
    gaps = torch.ones(whole, dtype=torch.bool).index_fill_(0, rows.places, False)
    spread: Tensor = _SpreadLinear.apply(rows.spread(x).flatten(0, 1), layer.weight, layer.bias, gaps)
    return spread.unflatten(0, (rows.batch, rows.steps))


class _SpreadLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, gaps: Bool[Tensor, " n"]
    ) -> Float[Tensor, "n v"]:
        ctx.save_for_backward(x, weight, gaps)
        ctx.biased = bias is not None
        return F.linear(x, weight, bias).index_fill_(0, gaps.nonzero().squeeze(1), 0.0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, gaps = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        of_bias = grad.sum(dim=0) - grad[gaps].sum(dim=0) if ctx.biased and wanted[2] else None
        of_weight = grad.t() @ x if wanted[1] else None  # rows of x that are gaps are zero
        return grad @ weight if wanted[0] else None, of_weight, of_bias, None
