"""Softmax attention between tokens in memory that grows with N, not N*N, and the N*N way for a look at it.

Every function takes queries (B, N, d), (B, K, N, d) or (B, L, K, N, d), keys of the same form with M instead
of N, and values with a width of their own. Three ways lead to the same numbers: PyTorch's fused kernel where
all widths are equal, blocks of query rows where they are not, and the explicit matrix while a ``MapTap`` is
recording.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import as_saved, full_precision, widen

ROWS = 256  # query rows in a block: 9 MB of weights at 97x97, and as fast as any larger number on a CPU
BLOCK = 1 << 21  # weights in a block of several images or heads, where one has fewer


def attend(query: Tensor, key: Tensor, value: Tensor, tap: MapTap, *, scale: float = 1.0) -> Tensor:
    """Return ``softmax(scale * query key^T) value``; the weights go through ``tap`` while it is recording."""
    with full_precision(query):
        if tap.recording:
            weights = _weights(query * scale, key)
            return tap(weights).to(value.dtype) @ value
        if query.shape[-1] == value.shape[-1]:
            return _fused(query, key, value, scale)
        tracing = torch.jit.is_tracing()  # type: ignore[attr-defined]
        if torch.compiler.is_exporting() or tracing:  # such a graph knows PyTorch's operators only
            missing = (0, value.shape[-1] - query.shape[-1])
            return _fused(F.pad(query, missing), F.pad(key, missing), value, scale)
        context: Tensor = _row_blocks(query * scale, key, value)
        return context


def _fused(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Call PyTorch's fused kernel, which takes four dimensions and one type only."""
    kind = torch.promote_types(query.dtype, value.dtype)
    if query.ndim == 3:
        return _fused(query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1), scale).squeeze(1)
    if query.ndim == 5:
        joined = _fused(query.flatten(0, 1), key.flatten(0, 1), value.flatten(0, 1), scale)
        return joined.unflatten(0, query.shape[:2])
    q, k, v = (_strided(part.to(kind)) for part in (query, key, value))
    return F.scaled_dot_product_attention(q, k, v, scale=scale).to(value.dtype)


def _strided(x: Tensor) -> Tensor:
    """Return ``x`` with a last dimension of stride 1, which the fused CPU kernel needs."""
    if torch.compiler.is_compiling() or x.stride(-1) == 1:
        return x
    return x.clone(memory_format=torch.contiguous_format)


def _weights(query: Tensor, key: Tensor) -> Tensor:
    return (widen(query) @ widen(key).transpose(-2, -1)).softmax(dim=-1)


# The schemas are written out: with the shapes' checker on, torch cannot read them off the annotations.
@torch.library.custom_op(
    "foveate::row_blocks", mutates_args=(), schema="(Tensor query, Tensor key, Tensor value) -> Tensor"
)
def _row_blocks(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention by blocks of query rows.

    An operator of its own: a compiler cannot trace a loop over a symbolic number of blocks, and need not.
    """
    context = value.new_empty(*query.shape[:-1], value.shape[-1])
    for queries, keys, values, contexts in _few(query, key, value, context):
        for rows, into in zip(queries.split(ROWS, dim=1), contexts.split(ROWS, dim=1), strict=True):
            torch.bmm(_weights(rows, keys).to(value.dtype), values, out=into)
    return context


@torch.library.custom_op(
    "foveate::row_blocks_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor query, Tensor key, Tensor value) -> (Tensor, Tensor, Tensor)",
)
def _row_blocks_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of queries, keys and values; each block's weights are formed again."""
    parts = [widen(part) for part in (query, key, value)]
    grads = [part.new_zeros(part.shape) for part in parts]  # contiguous, so that _few gives views
    for queries, keys, values, grad_contexts, grad_queries, grad_keys, grad_values in _few(
        *parts, widen(grad), *grads
    ):
        for part in zip(*(p.split(ROWS, dim=1) for p in (queries, grad_contexts, grad_queries)), strict=True):
            rows, grad_rows, into = part
            weights = _weights(rows, keys)
            grad_values.baddbmm_(weights.transpose(1, 2), grad_rows)
            energies = grad_rows @ values.transpose(1, 2)
            energies = torch._softmax_backward_data(energies, weights, -1, weights.dtype)
            torch.bmm(energies, keys, out=into)
            grad_keys.baddbmm_(energies.transpose(1, 2), rows)
    grad_query, grad_key, grad_value = grads
    return grad_query.to(query.dtype), grad_key.to(key.dtype), grad_value.to(value.dtype)


@_row_blocks.register_fake
def _(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return value.new_empty(*query.shape[:-1], value.shape[-1])


@_row_blocks_backward.register_fake
def _(grad: Tensor, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    made = [part.new_empty(part.shape) for part in (query, key, value)]
    return made[0], made[1], made[2]


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


@as_saved
def _turn(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    found: tuple[Tensor, Tensor, Tensor] = _row_blocks_backward(grad, *ctx.saved_tensors)
    return found


_row_blocks.register_autograd(_turn, setup_context=_keep)


@register_flop_formula(torch.ops.foveate.row_blocks)
def _flops(query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, **__: Any) -> int:
    """What ``FlopCounterMode`` counts: two operations a multiply-add, energies and sums."""
    return 2 * math.prod(query[:-1]) * key[-2] * (key[-1] + value[-1])


@register_flop_formula(torch.ops.foveate.row_blocks_backward)
def _flops_backward(
    grad: torch.Size, query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, **__: Any
) -> int:
    """The same, for the energies again, two gradients of width d and two of that of the values."""
    return 2 * math.prod(query[:-1]) * key[-2] * (3 * key[-1] + 2 * value[-1])


def _few(query: Tensor, key: Tensor, *others: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield all tensors for a few images or heads at a time, as (few, N, d), so that blocks stay small."""
    rows = min(ROWS, query.shape[-2])
    few = max(1, BLOCK // max(1, rows * key.shape[-2]))
    return zip(*(part.flatten(0, -3).split(few) for part in (query, key, *others)), strict=True)
