"""A tensor that every step uses, whose gradient is added up in place.

Plainly ``x[:count]`` at every step. In eager training on a CPU autograd would lay each step's gradient out in
zeros of the whole tensor, and add it to what is there in new memory. A memory whose weighted mean each step
takes gets its gradient from one product over all steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

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


def shared_mean(x: Tensor) -> Callable[[Tensor], Tensor]:
    """Return a function from weights (b, T, N) to their products with the first b of (B, N, D).

    Example:
        >>> mean = shared_mean(torch.eye(2).expand(3, 2, 2))
        >>> mean(torch.tensor([[[0.25, 0.75]]])).tolist()
        [[[0.25, 0.75]]]
    """
    wanted = torch.is_grad_enabled() and x.requires_grad
    if not wanted or traced(x) or torch.is_autocast_enabled("cpu"):
        rows = shared(x)
        return lambda weights: weights @ rows(weights.shape[0])  # which export keeps as a symbol
    notes: list[tuple[Tensor, Tensor]] = []
    link, value = _Read.apply(x, notes), x.detach()
    return lambda weights: _Mean.apply(weights, value, link, notes)


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


class _Read(torch.autograd.Function):
    """What ``_Summed`` is for a sum of products."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, notes: list[tuple[Tensor, Tensor]]) -> Tensor:
        ctx.notes, ctx.batch = notes, len(x)
        return x.new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor, None]:
        weights, grads = (
            torch.cat([F.pad(part, (0, 0, 0, 0, 0, ctx.batch - len(part))) for part in parts], dim=1)
            for parts in zip(*ctx.notes, strict=True)
        )
        ctx.notes.clear()
        return weights.transpose(1, 2) @ grads, None


class _Mean(torch.autograd.Function):
    """One step's mean; its backward pass leaves the memory's gradient to ``_Read``."""

    @staticmethod
    def forward(
        ctx: Any, weights: Tensor, memory: Tensor, link: Tensor, notes: list[tuple[Tensor, Tensor]]
    ) -> Tensor:
        ctx.save_for_backward(weights, memory)
        ctx.notes = notes
        return weights @ memory[: len(weights)]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, Tensor, None]:
        weights, memory = ctx.saved_tensors
        ctx.notes.append((weights, grad))
        of_weights = grad @ memory[: len(weights)].transpose(1, 2) if ctx.needs_input_grad[0] else None
        return of_weights, None, grad.new_zeros(()), None
