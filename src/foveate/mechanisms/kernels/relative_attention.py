"""Softmax attention over a map whose energies depend on how far apart query and key are, row by row.

The energy of a key at row y and column x is ``q . k + down[y] + along[x]``: what its row adds and what its
column adds. Kept apart these are N*(H+W) numbers; only their sum has N*N, and it comes in blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import as_saved, full_precision, widen

BLOCK = 2**20  # weights in a block: 4 MB, which a cache holds
NEVER = -1e9  # the energy of what must not be read: exp of it is 0, and 0 times it is not NaN


def distances(table: Float[Tensor, "s d"], length: int) -> Float[Tensor, "n n d"]:
    """Return the row of ``table`` for each pair of places of a line: entry (i, j) is for distance j - i.

    The middle row of a table of 2*S-1 rows is distance 0. For another length than S it is stretched.
    """
    stretched = F.interpolate(table.T.unsqueeze(0), size=2 * length - 1, mode="linear", align_corners=False)
    place = torch.arange(length, device=table.device)
    return F.embedding(place - place.unsqueeze(1) + length - 1, stretched[0].T)


def relative(
    query: Float[Tensor, "b k h w d"], down: Float[Tensor, "h y d"], along: Float[Tensor, "w x d"]
) -> tuple[Float[Tensor, "b k n y"], Float[Tensor, "b k n x"]]:
    """Return what the row and what the column of a key add to its energy, for each query."""
    with full_precision(query):
        query = widen(query)
        rows = torch.einsum("bkhwd,hyd->bkhwy", query, down.to(query.dtype))
        columns = torch.einsum("bkhwd,wxd->bkhwx", query, along.to(query.dtype))
    return rows.flatten(2, 3), columns.flatten(2, 3)


def attend_placed(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    down: Tensor,
    along: Tensor,
    tap: MapTap,
    *,
    scale: float = 1.0,
    seen: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Return ``softmax(scale * query key^T + down + along) value``.

    Args:
        query: (B, K, N, d).
        key: (B, K, Y*X, d), a map of Y rows and X columns laid out row by row.
        value: (B, K, Y*X, e).
        down: (B, K, N, Y), added to the energies of all keys in a row.
        along: (B, K, N, X), added to the energies of all keys in a column.
        tap: Gets the weights (B, K, N, Y*X) while it is recording; else they are formed in blocks.
        scale: Of the products, not of ``down`` and ``along``.
        seen: Sends the weights through ``tap`` in another layout and returns them as they came; None sends
            them as they are.
    """
    with full_precision(query):
        parts = widen(query) * scale, widen(key), widen(value), widen(down), widen(along)
        if tap.recording:
            weights = placed_weights(parts[0], parts[1], *parts[3:])
            context = (tap if seen is None else seen)(weights) @ parts[2]
        elif torch.compiler.is_compiling():  # a loop over a symbolic number of blocks cannot be traced
            context = _unrolled(*parts)
        else:
            context = _Blocks.apply(*parts)
    return context.to(value.dtype)


def placed_weights(query: Tensor, key: Tensor, down: Tensor, along: Tensor) -> Tensor:
    """Return ``softmax(query key^T + down + along)``, all of it."""
    energies = (query @ key.transpose(-2, -1)).unflatten(-1, (down.shape[-1], along.shape[-1]))
    return (energies + down.unsqueeze(-1) + along.unsqueeze(-2)).flatten(-2).softmax(dim=-1)


def _unrolled(query: Tensor, key: Tensor, value: Tensor, down: Tensor, along: Tensor) -> Tensor:
    """Return the same by the fused kernel: a key says its row and column, a query what each is worth."""
    rows, columns = down.shape[-1], along.shape[-1]
    row = torch.eye(rows, device=key.device, dtype=key.dtype).unsqueeze(1).expand(-1, columns, -1)
    column = torch.eye(columns, device=key.device, dtype=key.dtype).unsqueeze(0).expand(rows, -1, -1)
    place = torch.cat([row, column], dim=-1).flatten(0, 1).expand(*key.shape[:2], -1, -1)
    asked, said = [query, down, along], [key, place]
    wide = max(query.shape[-1] + rows + columns, value.shape[-1])
    # Unequal widths would take the N*N way, without a word.
    query, key, padded = (_joined(each, wide) for each in (asked, said, [value]))
    return F.scaled_dot_product_attention(query, key, padded, scale=1.0)[..., : value.shape[-1]]


def _joined(parts: list[Tensor], wide: int) -> Tensor:
    """Join along the last axis and fill up with zeros.

    Not by ``F.pad``: its gradient has other strides than the compiler takes it to have, and a training step
    with symbolic sizes fails on them.
    """
    blank = parts[0].new_zeros(()).expand(*parts[0].shape[:-1], wide - sum(part.shape[-1] for part in parts))
    return torch.cat([*parts, blank], dim=-1)


class _Blocks(torch.autograd.Function):
    """Attention by blocks of query rows; the backward pass forms each block's weights once more."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, query: Tensor, key: Tensor, value: Tensor, down: Tensor, along: Tensor
    ) -> Tensor:
        ctx.save_for_backward(query, key, value, down, along)
        rows = _rows(query, key)
        blocks = zip(*(part.split(rows, dim=-2) for part in (query, down, along)), strict=True)
        return torch.cat([placed_weights(q, key, y, x) @ value for q, y, x in blocks], dim=-2)

    @staticmethod
    @as_saved
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        query, key, value, down, along = ctx.saved_tensors
        found, grad_key, grad_value = [], torch.zeros_like(key), torch.zeros_like(value)
        rows = _rows(query, key)
        blocks = zip(*(part.split(rows, dim=-2) for part in (query, down, along, grad)), strict=True)
        for q, y, x, wanted in blocks:
            weights = placed_weights(q, key, y, x)
            grad_value += weights.transpose(-2, -1) @ wanted
            energies = wanted @ value.transpose(-2, -1)
            energies = weights * (energies - (energies * weights).sum(dim=-1, keepdim=True))
            grad_key += energies.transpose(-2, -1) @ q
            placed = energies.unflatten(-1, (y.shape[-1], x.shape[-1]))
            found.append((energies @ key, placed.sum(dim=-1), placed.sum(dim=-2)))
        grad_query, grad_down, grad_along = (torch.cat(each, dim=-2) for each in zip(*found, strict=True))
        return grad_query, grad_key, grad_value, grad_down, grad_along


def _rows(query: Tensor, key: Tensor) -> int:
    """Return how many query rows make a block."""
    row = query.shape[:-2].numel() * key.shape[-2]
    return max(1, BLOCK // max(1, row))
