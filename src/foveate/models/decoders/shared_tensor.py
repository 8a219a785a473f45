"""A tensor that every step uses, whose gradient is added up in place.

Plainly ``x[:count]`` at every step. In eager training on a CPU autograd would lay each step's gradient out in
zeros of the whole tensor, and add it to what is there in new memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from foveate.mechanisms.kernels.eager_cpu import traced


def shared(x: Tensor) -> Callable[[int], Tensor]:
    """Return a function that is called with a number of rows, and returns that many of the first.

    Example:
        >>> rows = shared(torch.arange(3.0, requires_grad=True))
        >>> (rows(3).sum() + rows(2).sum()).item()
        4.0
    """
    if traced(x) or not (torch.is_grad_enabled() and x.requires_grad):
        return lambda count: x if count == x.shape[0] else x[:count]
    sums: list[Tensor] = []
    link, value = _Summed.apply(x, sums), x.detach()
    return lambda count: _Noted.apply(value, link, count, sums)


class _Summed(torch.autograd.Function):
    """Gives the steps a number to hang on, so that its backward pass runs after theirs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, sums: list[Tensor]) -> Tensor:
        ctx.sums = sums
        return x.new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor, None]:
        return ctx.sums.pop(), None


class _Noted(torch.autograd.Function):
    """One use; its backward pass adds to what ``_Summed`` returns."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, link: Tensor, count: int, sums: list[Tensor]) -> Tensor:
        ctx.sums, ctx.shape = sums, x.shape
        return x[:count]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, None, None]:
        if not ctx.sums:
            ctx.sums.append(grad.new_zeros(ctx.shape))
        ctx.sums[0][: len(grad)] += grad
        return None, grad.new_zeros(()), None, None
