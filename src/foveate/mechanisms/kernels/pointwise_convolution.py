"""A convolution of kernel 1 as a linear layer, where that is faster.

On the CPU a convolution rearranges its weights: on 1 x 1 maps, the means of large ones, that is most of its
time. On channels_last maps its backward pass takes a tenth to a third longer than that of the matrix product
which it is. And under ``torch.compile`` it rearranges the maps around it: a training step of a gate takes
up to three times as long (``benchmarks/compiler.py``).
"""

from __future__ import annotations

from typing import TypeGuard

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

from foveate.mechanisms.kernels.eager_cpu import channels_last, fusing, traced
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import precise, widen


def pointwise(layer: nn.Module, x: Tensor) -> Tensor:
    """Return ``layer(x)``.

    Any layer but a plain convolution of kernel 1 is called, one that was replaced, derived or has hooks too;
    export and tracing get the convolution.

    Example:
        >>> import torch
        >>> pointwise(nn.Conv2d(2, 3, 1), torch.rand(4, 2, 1, 1)).shape
        torch.Size([4, 3, 1, 1])
    """
    if x.ndim == 4 and _plain(layer, x):
        if fusing():
            return _fused(layer, x)
        if not traced(x) and (x.shape[2:] == (1, 1) or channels_last(x)):
            return linear(x.permute(0, 2, 3, 1), layer.weight.flatten(1), layer.bias).permute(0, 3, 1, 2)
    called: Tensor = layer(x)
    return called


def project(layer: nn.Conv2d, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
    """Return queries or keys of ``x``, for a half-precision model in float32.

    Without a scale energies run into the hundreds; there the rounding of half a query is another softmax.
    """
    if widen(x) is x or torch.is_autocast_enabled(x.device.type):
        return pointwise(layer, x)
    return precise(layer, widen(x))


def through_tap(layer: nn.Conv2d, x: Float[Tensor, "b c h w"], tap: MapTap, shape: tuple[int, ...]) -> Tensor:
    """Return ``layer(x)``; while ``tap`` is recording, by weights that go through it as (B, *shape).

    Args:
        layer: A convolution of kernel 1.
        x: The map.
        tap: What shows the layer's weight.
        shape: Of the weights that are shown; its first axis is that of the output's channels.
    """
    if not tap.recording:
        called: Tensor = layer(x)
        return called
    weights = tap(layer.weight.view(shape).expand(x.shape[0], *shape)).flatten(2)
    read = (weights @ x.flatten(2)).unflatten(2, x.shape[2:])
    return read + layer.bias.view(1, -1, 1, 1)  # type: ignore[union-attr]


def _plain(layer: nn.Module, x: Tensor) -> TypeGuard[nn.Conv2d]:
    if type(layer) is not nn.Conv2d or layer.stride != (1, 1) or layer.padding != (0, 0):
        return False
    hooks = layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks
    tracing = torch.jit.is_tracing()  # type: ignore[attr-defined]
    return not tracing and layer.weight.shape[1:] == (x.shape[1], 1, 1) and not any(hooks)


def _fused(layer: nn.Conv2d, x: Tensor) -> Tensor:
    weight, bias = layer.weight.flatten(1), layer.bias
    if x.shape[2:] == (1, 1) or not x.is_contiguous():
        tokens = linear(x.flatten(2).transpose(1, 2), weight, bias)
        return tokens.transpose(1, 2).unflatten(2, x.shape[2:])
    product = weight.expand(len(x), -1, -1).bmm(x.flatten(2))
    return (product if bias is None else product + bias[:, None]).unflatten(2, x.shape[2:])
