"""A linear layer that is applied step after step, whose gradient is summed over the steps in one product.

Plainly ``F.linear`` at every step. In eager training on a CPU autograd would form the weight's gradient at
each step, from a batch of rows, and add it to what is there: for a recurrent layer most of the backward pass.
Here the steps only note down what came in and which gradient came back, and one product over all steps
follows when the last of them is done.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from foveate.mechanisms.kernels.eager_cpu import traced

_Notes = list[tuple[Tensor, Tensor]]  # of each step: what came in, and the gradient of what went out


def repeated(weight: Tensor, bias: Tensor | None = None) -> Callable[[Tensor], Tensor]:
    """Return a function that is called with (B, in) or (B, T, in) and returns (..., out).

    Example:
        >>> layer = repeated(torch.eye(2, requires_grad=True))
        >>> layer(layer(torch.tensor([[1.0, 2.0]]))).tolist()
        [[1.0, 2.0]]
    """
    wanted = torch.is_grad_enabled() and weight.requires_grad
    if not wanted or traced(weight) or torch.is_autocast_enabled("cpu"):
        return partial(F.linear, weight=weight, bias=bias)
    notes: _Notes = []
    link = _Summed.apply(weight, bias, notes)
    values = weight.detach(), None if bias is None else bias.detach()
    return lambda x: _Noted.apply(x, link, *values, notes)


class _Summed(torch.autograd.Function):
    """Gives the steps a number to hang on, so that its backward pass runs after theirs."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor | None, notes: _Notes) -> Tensor:
        ctx.notes, ctx.biased = notes, bias is not None
        return weight.new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor | None, ...]:
        came, back = (torch.cat(parts) for parts in zip(*ctx.notes, strict=True))
        ctx.notes.clear()
        return back.t() @ came, back.sum(dim=0) if ctx.biased else None, None


class _Noted(torch.autograd.Function):
    """One step; its backward pass leaves the weight's gradient to ``_Summed``."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, link: Tensor, weight: Tensor, bias: Tensor | None, notes: _Notes
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.notes = notes
        return F.linear(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        ctx.notes.append((x.flatten(0, -2), grad.flatten(0, -2)))
        return grad @ weight if ctx.needs_input_grad[0] else None, grad.new_zeros(()), None, None, None
