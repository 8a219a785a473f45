"""Softmax attention between tokens in memory that grows with N, not N*N, and the N*N way for a look at it.

Every function takes queries (B, N, d) or (B, K, N, d), keys of the same form with M instead of N, and values
with a width of their own. Three ways lead to the same numbers: PyTorch's fused kernel where all widths are
equal, blocks of query rows where they are not, and the explicit matrix while a ``MapTap`` is recording.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.flop_counter import register_flop_formula

from foveate.mechanisms.base import MapTap, layout_of
from foveate.mechanisms.kernels.pointwise import pointwise
from foveate.mechanisms.precision import as_saved, full_precision, precise, widen

ROWS = 256  # query rows in a block: 9 MB of weights at 97x97, and as fast as any larger number on a CPU
BLOCK = 1 << 21  # weights in a block of several images or heads, where one has fewer


def tokens(x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b n c"]:
    """Lay a map out as tokens, row by row, with a last dimension of stride 1.

    The fused CPU kernel asks for that stride and falls back to an N*N matrix without a word if it is missing.
    """
    laid_out = x.flatten(2).transpose(1, 2)
    tracing = torch.jit.is_tracing()  # type: ignore[attr-defined]
    if not tracing and x.shape[1] == 1:  # contiguous whatever its stride: only a copy sets the stride
        return laid_out.clone(memory_format=torch.contiguous_format)
    return laid_out.contiguous()


def untoken(context: Float[Tensor, "b n c"], like: Float[Tensor, "b _ h w"]) -> Float[Tensor, "b c h w"]:
    """Lay tokens out as a map of the height and width of ``like``."""
    return context.transpose(1, 2).unflatten(2, like.shape[2:])


def like_input(y: Float[Tensor, "b c *space"], x: Float[Tensor, "b _ *space"]) -> Float[Tensor, "b c *space"]:
    """Return ``y`` in the type and memory format of ``x``, for a mechanism that adds no ``x`` to it."""
    return y.to(x.dtype).contiguous(memory_format=layout_of(x))


def at_least_one(count: int) -> int:
    """Return ``count``, or 1 where it is less, for sizes that a compiler or tracer knows as symbols."""
    if isinstance(count, Tensor):
        return cast(int, count.clamp_min(1))  # as torch.jit.trace has them
    return cast(int, torch.sym_max(1, count))


def at_most(count: int, limit: int) -> int:
    """Return ``count``, or ``limit`` where it is more, likewise."""
    if isinstance(count, Tensor):
        return cast(int, count.clamp_max(limit))
    return cast(int, torch.sym_min(count, limit))


def project(layer: nn.Conv2d, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
    """Return queries or keys of ``x``, for a half-precision model in float32.

    Without a scale energies run into the hundreds; there the rounding of half a query is another softmax.
    """
    if widen(x) is x or torch.is_autocast_enabled(x.device.type):
        return pointwise(layer, x)
    return precise(layer, widen(x))


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
    q, k, v = (_strided(part.to(kind)) for part in (query, key, value))
    return F.scaled_dot_product_attention(q, k, v, scale=scale).to(value.dtype)


def _strided(x: Tensor) -> Tensor:
    """Return ``x`` with a last dimension of stride 1, which the fused CPU kernel asks for without a word."""
    if torch.compiler.is_compiling() or x.stride(-1) == 1:
        return x
    return x.clone(memory_format=torch.contiguous_format)


def _weights(query: Tensor, key: Tensor) -> Tensor:
    return (widen(query) @ widen(key).transpose(-2, -1)).softmax(dim=-1)


@torch.library.custom_op("foveate::row_blocks", mutates_args=())
def _row_blocks(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention by blocks of query rows.

    An operator of its own: a compiler cannot trace a loop over a symbolic number of blocks, and need not.
    """
    context = value.new_empty(*query.shape[:-1], value.shape[-1])
    for queries, keys, values, contexts in _few(query, key, value, context):
        for rows, into in zip(queries.split(ROWS, dim=1), contexts.split(ROWS, dim=1), strict=True):
            torch.bmm(_weights(rows, keys).to(value.dtype), values, out=into)
    return context


@torch.library.custom_op("foveate::row_blocks_backward", mutates_args=())
def _row_blocks_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of queries, keys and values; each block's weights are formed once more."""
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
    """The same, for energies once more, two gradients of width d and two of that of the values."""
    return 2 * math.prod(query[:-1]) * key[-2] * (3 * key[-1] + 2 * value[-1])


def _few(query: Tensor, key: Tensor, *others: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield all tensors for a few images or heads at a time, as (few, N, d), so that blocks stay small."""
    rows = min(ROWS, query.shape[-2])
    few = max(1, BLOCK // max(1, rows * key.shape[-2]))
    return zip(*(part.flatten(0, -3).split(few) for part in (query, key, *others)), strict=True)
