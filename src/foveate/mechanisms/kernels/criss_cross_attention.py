"""Criss-cross attention in one piece, for eager PyTorch on a CPU.

One round of ``pairwise/criss_cross.py`` spends more time on moving numbers than on multiplying them. As the
weights of a position sum to one, its values may be projected after they are mixed: what is read is
``W (sum_p a_p x_p) + b``. So the map is laid out as tokens once, mixed as it is, and the projection writes
its product onto ``x`` in the layout of ``x``. The backward pass is written out; it keeps the weights, the
queries and keys, and the mixed tokens.

Every product here is a batch of small ones along columns and along rows, of three kinds: ``compare`` gives a
number for each position and each member of its cross, ``gather`` sums over the cross of a position, and
``scatter`` over the positions whose cross a position is in. Weights are (H, W, H+W): column, then row.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from foveate.mechanisms.kernels.eager_cpu import channels_last, traced
from foveate.mechanisms.kernels.pointwise_convolution import project
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import as_saved, full_precision, widen

SMALL = 1 << 17  # images of fewer numbers are faster in the plain way


def criss_cross(
    x: Float[Tensor, "b c h w"],
    layers: tuple[nn.Conv2d, nn.Conv2d, nn.Conv2d],
    gamma: Tensor,
    tap: MapTap,
    *,
    rounds: int,
) -> Float[Tensor, "b c h w"]:
    """Return ``x`` after each position has added ``gamma`` times what it reads in its row and column.

    Args:
        x: The map.
        layers: The convolutions of kernel 1 for queries, keys and values.
        gamma: What the values are multiplied by.
        tap: Gets the weights (B, H, W, H+W) of each round while it is recording, and in the plain way.
        rounds: How often, with the same weights.
    """
    parameters = [p for layer in layers for p in layer.parameters()]
    if tap.recording or not fits(x, gamma, *parameters):
        for _ in range(rounds):
            x = x + (gamma * _read(x, layers, tap)).to(x.dtype)
        return x
    query, key, values = layers
    weight = torch.cat([query.weight, key.weight]).flatten(1)
    bias = torch.cat([query.bias, key.bias])  # type: ignore[list-item]
    value = gamma * values.weight.flatten(1), gamma * values.bias  # type: ignore[operator]
    for _ in range(rounds):
        x = cross(x, (weight, bias), value)
    return x


def _read(x: Tensor, layers: tuple[nn.Conv2d, nn.Conv2d, nn.Conv2d], tap: MapTap) -> Tensor:
    """Return what every position reads in one round, by the formula."""
    query, key = (project(layer, x).permute(0, 2, 3, 1) for layer in layers[:2])  # (B, H, W, R)
    value = layers[2](x).permute(0, 2, 3, 1).contiguous()  # laid out once, for rows and columns alike
    with full_precision(x):
        weights = tap(_weights(widen(query), widen(key))).to(value.dtype)  # (B, H, W, H+W)
        down, along = weights[..., : x.shape[2]], weights[..., x.shape[2] :]
        column = down.transpose(1, 2) @ value.transpose(1, 2)  # (B, W, H, H) (B, W, H, C)
        row = along @ value  # (B, H, W, W) (B, H, W, C)
    return (row + column.transpose(1, 2)).permute(0, 3, 1, 2)


def _weights(query: Float[Tensor, "b h w r"], key: Float[Tensor, "b h w r"]) -> Float[Tensor, "b h w h+w"]:
    column = query.transpose(1, 2) @ key.permute(0, 2, 3, 1)  # (B, W, H, R) (B, W, R, H)
    rank = torch.arange(query.shape[1], device=query.device)
    column = column.masked_fill(rank[:, None] == rank, -torch.inf)  # own position: the row counts it
    row = query @ key.transpose(2, 3)  # (B, H, W, R) (B, H, R, W)
    return torch.cat([column.transpose(1, 2), row], dim=-1).softmax(dim=-1)


def fits(x: Tensor, *parameters: Tensor) -> bool:
    """Whether ``cross`` may replace the formula: eager, on a CPU, large, all in float32 or float64."""
    if traced(x) or torch.is_autocast_enabled(x.device.type):
        return False
    wide = x.dtype in (torch.float32, torch.float64) and all(p.dtype == x.dtype for p in parameters)
    return wide and x.numel() >= max(1, SMALL * len(x))


def cross(
    x: Float[Tensor, "b c h w"],
    ask: tuple[Tensor, Tensor],
    value: tuple[Tensor, Tensor],
) -> Float[Tensor, "b c h w"]:
    """Return ``x`` plus what every position reads.

    Args:
        x: The map.
        ask: Weight (2*R, C) and bias (2*R) of queries and keys, the queries first.
        value: Weight (C, C) and bias (C) of the values.
    """
    return _Cross.apply(x, *ask, *value)


def compare(one: Float[Tensor, "h w d"], other: Float[Tensor, "h w d"]) -> Float[Tensor, "h w h+w"]:
    """Return the products of each position of ``one`` with its column and row of ``other``."""
    height, width, _ = one.shape
    found = one.new_empty(height, width, height + width)
    torch.bmm(one.transpose(0, 1), other.permute(1, 2, 0), out=_down(found))
    torch.bmm(one, other.transpose(1, 2), out=found[..., height:])
    return found


def gather(weights: Float[Tensor, "h w h+w"], tokens: Float[Tensor, "h w d"]) -> Float[Tensor, "h w d"]:
    """Return for each position the sum of the tokens of its column and row, times its weights."""
    sums = torch.bmm(weights[..., len(tokens) :], tokens)
    sums.transpose(0, 1).baddbmm_(_down(weights), tokens.transpose(0, 1))
    return sums


def scatter(weights: Float[Tensor, "h w h+w"], tokens: Float[Tensor, "h w d"]) -> Float[Tensor, "h w d"]:
    """Return for each position the sum of the tokens that look at it, times their weights."""
    sums = torch.bmm(weights[..., len(tokens) :].transpose(1, 2), tokens)
    sums.transpose(0, 1).baddbmm_(_down(weights).transpose(1, 2), tokens.transpose(0, 1))
    return sums


def _down(weights: Float[Tensor, "h w h+w"]) -> Float[Tensor, "w h h"]:
    """Return the weights of the columns, one matrix a column."""
    return weights[..., : len(weights)].transpose(0, 1)


class _Cross(torch.autograd.Function):
    """Image by image: a column of one image is a strided matrix, a column of several is not."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, asks: Tensor, shift: Tensor, project: Tensor, bias: Tensor) -> Tensor:
        kept: list[Tensor] = []
        out = _like(x)
        for image, result in zip(x, out, strict=True):
            height, width = image.shape[1:]
            flat = image.flatten(1)  # (C, N)
            tokens = flat.T.contiguous()
            questions = torch.addmm(shift, tokens, asks.T).view(height, width, -1)
            weights = compare(*questions.chunk(2, dim=-1))
            weights[..., :height].diagonal(dim1=0, dim2=2).fill_(-torch.inf)  # own position: the row has it
            torch.softmax(weights, dim=-1, out=weights)
            mixed = gather(weights, tokens.view(height, width, -1)).flatten(0, 1)
            written = torch.add(flat, bias[:, None], out=result.flatten(1))
            written.addmm_(project, mixed.T)
            if any(ctx.needs_input_grad):
                kept += [questions, weights, mixed]
        ctx.save_for_backward(x, asks, project, *kept)
        return out

    @staticmethod
    @as_saved
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, ...]:
        x, asks, project, *kept = ctx.saved_tensors
        grad_x, grads = None, [x.new_zeros(p.shape) for p in (asks, asks[:, 0], project, project[:, 0])]
        for i, image in enumerate(x):
            questions, weights, mixed = kept[3 * i : 3 * i + 3]
            flat = slope[i].flatten(1)
            grads[2].addmm_(flat, mixed)
            grads[3] += flat.sum(dim=1)
            tokens = image.flatten(1).T.contiguous()
            back = (flat.T @ project).view(*questions.shape[:2], -1)  # of what was mixed
            energies = compare(back, tokens.view(back.shape))
            energies = torch._softmax_backward_data(energies, weights, -1, x.dtype)
            query, key = questions.chunk(2, dim=-1)
            asked = torch.cat([gather(energies, key), scatter(energies, query)], dim=-1).flatten(0, 1)
            grads[0].addmm_(asked.T, tokens)
            grads[1] += asked.sum(dim=0)
            del tokens, energies
            back = scatter(weights, back).flatten(0, 1).addmm_(asked, asks)
            grad_x = _like(x) if grad_x is None else grad_x  # not before: so much less at the peak
            grad_x[i].flatten(1).copy_(back.T).add_(
                flat
            )  # a transposed copy is fast, a transposed sum is not
        return grad_x, *grads


def _like(x: Tensor) -> Tensor:
    """Return an empty map of which each image can be seen as (C, N)."""
    last = channels_last(x) and not x.is_contiguous()
    return torch.empty_like(x, memory_format=torch.channels_last if last else torch.contiguous_format)
