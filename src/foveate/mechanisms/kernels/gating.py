"""A map times gates that are broadcast over it, and several maps summed under such gates.

Plainly ``x * gate``, which is what ``torch.compile``, export and every device but the
CPU get. Eager PyTorch on a CPU spends most of a gate's time on new memory: the gradient of a gate is the sum
of a product as large as the map. Here that product is formed in blocks that stay in the cache, so training
keeps the map, its gates and two maps more (output and gradient), and takes about half the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from foveate.mechanisms.kernels.eager_cpu import (
    BLOCK,
    BLOCKS,
    blocks,
    channels_last,
    part,
    plain,
    total,
    weighted,
)
from foveate.mechanisms.precision import as_saved


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


def gated_in_turn(x: Tensor, gate: Tensor, weigh: Callable[..., tuple[Tensor, Tensor]]) -> Tensor:
    """Return ``x`` times ``gate``, times the gates that are computed from that product.

    Args:
        x: The map.
        gate: The first gates, of a shape that broadcasts to that of ``x``.
        weigh: Called as ``weigh(x)`` or ``weigh(x, scale)``; returns ``x`` to continue with and the gates for
            ``x``, or for ``x * scale``, which it need not form.
    """
    if x.ndim != 4 or plain(x):
        return gated(*weigh(x * gate))
    if not torch.is_grad_enabled():
        x = x * gate
        return x.mul_(weigh(x)[1])
    x, gates = weigh(x, gate.to(x.dtype))
    return gated(x, gate, gates)


def mixture(maps: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Return the sum of ``maps`` (B, C, H, W), each times its entry along axis 1 of ``weights``.

    The weights are (B, S, C or 1, H or 1, W or 1) for S maps.

    Example:
        >>> import torch
        >>> twice = torch.full((1, 2, 1, 1, 1), 2.0)
        >>> mixture([torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1)], twice).item()
        4.0
    """
    terms = [gated(x, weight.to(x.dtype)) for x, weight in zip(maps, weights.unbind(1), strict=True)]
    return sum(terms[1:], terms[0])


def _product(x: Tensor, gates: Sequence[Tensor]) -> Tensor:
    for gate in gates:
        x = x * gate
    return x


def _ordered(gates: Sequence[Tensor], x: Tensor) -> list[Tensor]:
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
