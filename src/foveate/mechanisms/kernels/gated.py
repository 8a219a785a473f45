"""A map times gates that are broadcast over it, and the means that such gates are computed from.

Plainly ``x * gate`` and ``x.mean(dims)``, which is what ``torch.compile``, export and every device but the
CPU get. Eager PyTorch on a CPU spends most of a gate's time on new memory: the gradient of a gate is the sum
of a product as large as the map. Here that product is formed in blocks that stay in the cache, so training
keeps the map, its gates and two maps more (output and gradient), and takes about half the time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

from foveate.mechanisms.precision import as_saved

BLOCK = 1 << 18  # numbers in a block: 1 MB of float32, what a core keeps close
BLOCKS = 8  # blocks that are written at once where nothing is summed
SMALL = 1 << 19  # maps of fewer numbers are faster in the plain way


def gated(x: Tensor, *gates: Tensor) -> Tensor:
    """Return ``x`` times every one of ``gates``, each of a shape that broadcasts to that of ``x``.

    Example:
        >>> gated(torch.full((1, 2, 1, 1), 3.0), torch.tensor([0.5, 1.0]).view(1, 2, 1, 1)).flatten()
        tensor([1.5000, 3.0000])
    """
    if (len(gates) == 1 and not torch.is_grad_enabled()) or plain(x, *gates):
        return _product(x, gates)
    if not torch.is_grad_enabled():
        first, *others = _ordered(gates, x)
        y = x * first
        for gate in others:
            y.mul_(gate)
        return y
    return _Gated.apply(False, x, *(gate.to(x.dtype) for gate in gates))


def gated_by_sum(x: Tensor, *gates: Tensor) -> Tensor:
    """Return ``x`` times the sum of ``gates``, each of a shape that broadcasts to that of ``x``.

    Example:
        >>> gated_by_sum(torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1)).item()
        2.0
    """
    if len(gates) == 1:
        return gated(x, *gates)
    if plain(x, *gates):
        return x * sum(gates[1:], gates[0])
    return _Gated.apply(True, x, *(gate.to(x.dtype) for gate in gates))


def mean(x: Tensor, *dims: int) -> Tensor:
    """Return the means over ``dims``, which are kept with size 1.

    Example:
        >>> mean(torch.tensor([[[[1.0, 3.0]]]]), 2, 3).item()
        2.0
    """
    alike = not torch.is_grad_enabled() and (len(dims) > 1 or not channels_last(x))
    if alike or x.dtype == torch.float16 or traced(x):  # in float16 a sum overflows where the mean does not
        return x.mean(dim=dims, keepdim=True)
    # The gradient of a mean is a new map, divided; that of a sum is a view of one number for each sum.
    return total(x, *dims) / math.prod(x.shape[dim] for dim in dims)


def total(x: Tensor, *dims: int) -> Tensor:
    """Return the sums over ``dims``, which are kept with size 1.

    PyTorch sums one axis of a channels_last map ten times slower than the same numbers seen as (B, H, W, C).
    """
    if not channels_last(x):
        return x.sum(dim=dims, keepdim=True)
    moved = [x.ndim - 1 if dim == 1 else dim - (dim > 1) for dim in dims]
    return x.movedim(1, -1).sum(dim=moved, keepdim=True).movedim(-1, 1)


def weighted(x: Tensor, weight: Tensor, over: str) -> Tensor:
    """Return the sums of ``x`` times ``weight`` over ``"channels"`` or ``"positions"``.

    As a row times a matrix, which is several times faster than times a column.
    """
    if fusing():
        return (x * weight).sum(dim=1 if over == "channels" else (2, 3), keepdim=True)
    flat, row = x.flatten(2), weight.flatten(2)
    if not torch.is_grad_enabled():  # matmul copies the map for one that requires a gradient, wanted or not
        flat, row = flat.detach(), row.detach()
    if over == "positions":
        return (row @ flat.transpose(1, 2)).transpose(1, 2).unsqueeze(3)
    row = row.transpose(1, 2)
    return ((row if len(row) > 1 else row[0]) @ flat).unflatten(2, x.shape[2:])


def fusing() -> bool:
    """Whether ``torch.compile`` is at work, which fuses products and sums but no call of a library."""
    return torch.compiler.is_compiling() and not torch.compiler.is_exporting()


def channels_last(x: Tensor) -> bool:
    """Whether the channels of one position lie side by side in memory, and nothing else is between."""
    return x.ndim == 4 and x.stride(1) == 1 and x.is_contiguous(memory_format=torch.channels_last)


_COUNTED: ContextVar[bool] = ContextVar("counted", default=False)


@contextmanager
def as_written() -> Iterator[None]:
    """Let every mechanism run by its plain formula, to count or draw what it computes without fast paths."""
    token = _COUNTED.set(True)
    try:
        yield
    finally:
        _COUNTED.reset(token)


def traced(x: Tensor) -> bool:
    """Whether the plain expression is wanted as such: for a compiler, a transform or another device."""
    return (
        torch.compiler.is_compiling()
        or _COUNTED.get()
        or torch.jit.is_tracing()  # type: ignore[attr-defined]
        or x.device.type != "cpu"
        or torch._C._are_functorch_transforms_active()  # vmap and jvp have their rules for the plain one
    )


def plain(x: Tensor, *gates: Tensor) -> bool:
    """Whether the plain expression is the one to take: traced, small, or of a layout or type that is rare."""
    return (
        traced(x)
        or x.numel() < SMALL
        or x.ndim < 3
        or not (x.is_contiguous() or channels_last(x))
        or any(g.ndim != x.ndim or (g.dtype != x.dtype and torch.result_type(x, g) != x.dtype) for g in gates)
    )


def blocks(x: Tensor, size: int) -> Iterator[tuple[slice, ...]]:
    """Cut ``x`` into pieces of about ``size`` numbers, each in one stretch of memory."""
    axis = 2 if channels_last(x) else 1
    sample = x[0].numel()
    samples = max(1, size // sample)
    step = -(-x.shape[axis] // -(-sample // size))
    for start in range(0, x.shape[0], samples):
        for begin in range(0, x.shape[axis], step):
            index = [slice(None)] * (axis + 1)
            index[0], index[axis] = slice(start, start + samples), slice(begin, begin + step)
            yield tuple(index)


def part(gate: Tensor, index: tuple[slice, ...]) -> Tensor:
    """Return what of ``gate`` broadcasts to the block at ``index``."""
    return gate[tuple(i if size > 1 else slice(None) for i, size in zip(index, gate.shape, strict=False))]


def _product(x: Tensor, gates: tuple[Tensor, ...]) -> Tensor:
    for gate in gates:
        x = x * gate
    return x


def _ordered(gates: tuple[Tensor, ...], x: Tensor) -> list[Tensor]:
    """Lay the gates out as ``x`` is: the wrong order costs more than the product."""
    order = torch.channels_last if channels_last(x) else torch.contiguous_format
    return [gate.contiguous(memory_format=order) for gate in gates]


class _Gated(torch.autograd.Function):
    """``x`` times the product, or the sum, of gates; what is saved is what came in."""

    @staticmethod
    def forward(ctx: Any, added: bool, x: Tensor, *gates: Tensor) -> Tensor:
        ctx.save_for_backward(x, *gates)
        ctx.added = added
        ordered = _ordered(gates, x)
        if len(gates) == 1:
            return x * ordered[0]
        y = torch.empty_like(x)
        for index in blocks(x, BLOCKS * BLOCK):
            _times(x[index], [part(gate, index) for gate in ordered], added, y[index])
        return y

    @staticmethod
    @as_saved
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, *saved = ctx.saved_tensors
        wanted = ctx.needs_input_grad[2:]
        if torch.is_grad_enabled():  # a second derivative is asked for
            return None, *_plain_backward(grad, x, saved, ctx.added)
        gates = _ordered(saved, x)
        grads = [
            torch.zeros_like(g, dtype=torch.float32 if g.itemsize < 4 else g.dtype) if want else None
            for g, want in zip(gates, wanted, strict=True)
        ]
        grad_x = torch.empty_like(x) if ctx.needs_input_grad[1] else None
        room = spare = x[:0]
        for index in blocks(x, BLOCK):
            given, back = x[index], grad[index]
            here = [part(gate, index) for gate in gates]
            if any(wanted):
                if room.shape != given.shape:
                    room = torch.empty_like(given)
                    spare = torch.empty_like(given) if len(gates) > 1 and not ctx.added else room
                torch.mul(given, back, out=room)
                for i, sums in enumerate(grads):
                    others = [] if ctx.added else here[:i] + here[i + 1 :]
                    if sums is not None:
                        _collect(part(sums, index), room, spare, others)
            if grad_x is not None:
                _times(back, here, ctx.added, grad_x[index])
        return None, grad_x, *(g if g is None else g.to(x.dtype) for g in grads)


def _collect(sums: Tensor, product: Tensor, spare: Tensor, others: list[Tensor]) -> None:
    """Add to ``sums`` the ``product`` times the other gates, summed over the axes that ``sums`` lacks."""
    if len(others) == 1 and sums.dtype == product.dtype:
        (gate,) = others
        if gate.shape[1:] == (1, *product.shape[2:]) and sums.shape[1:] == (product.shape[1], 1, 1):
            sums += weighted(product, gate, "positions")
            return
        if sums.shape[1:] == (1, *product.shape[2:]) and gate.shape[1:] == (product.shape[1], 1, 1):
            sums += weighted(product, gate, "channels")
            return
    for gate in others:
        torch.mul(product, gate, out=spare)
        product = spare
    dims = [d for d in range(product.ndim) if sums.shape[d] == 1 and product.shape[d] != 1]
    sums += total(product, *dims) if dims else product


def _times(x: Tensor, gates: list[Tensor], added: bool, out: Tensor) -> None:
    """Write ``x`` times the product, or the sum, of ``gates`` to ``out``."""
    if added:
        first, second = gates[:2]
        whole = torch.broadcast_shapes(first.shape, second.shape) == x.shape
        torch.add(first if whole else first.expand_as(x), second, out=out)  # expanded it is half as fast
        for gate in gates[2:]:
            out.add_(gate)
        out.mul_(x)
        return
    torch.mul(x, gates[0], out=out)
    for gate in gates[1:]:
        out.mul_(gate)


def _plain_backward(grad: Tensor, x: Tensor, gates: list[Tensor], added: bool) -> list[Tensor]:
    """The gradients by differentiable operations."""
    if added:
        return [grad * sum(gates[1:], gates[0]), *((grad * x).sum_to_size(gate.shape) for gate in gates)]
    rest = [_product(grad * x, tuple(gates[:i] + gates[i + 1 :])) for i in range(len(gates))]
    return [_product(grad, tuple(gates)), *(r.sum_to_size(g.shape) for r, g in zip(rest, gates, strict=True))]
