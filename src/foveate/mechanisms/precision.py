"""What is computed in float32 although the map around it is half precision, and how autocast is kept out.

Products and sums over positions outgrow float16 long before the map does, and energies without a scale need
more digits than half precision has.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Backward = TypeVar("Backward", bound=Callable[..., Any])


def widen(x: Tensor) -> Tensor:
    """Return ``x`` in float32 if it is half precision, where energies without a scale overflow."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def full_precision(x: Tensor) -> AbstractContextManager[Any]:
    """Return a context in which autocast does not undo ``widen``."""
    kind = x.device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()


def roomy(x: Tensor) -> Tensor:
    """Return ``x`` in float32 if it is float16, whose greatest number, 65504, products soon exceed."""
    return x.float() if x.dtype == torch.float16 else x


def precise(layer: nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear, x: Tensor) -> Tensor:
    """Return ``layer(x)``, in float32 where ``x`` is, though the layer is not or autocast is on.

    Example:
        >>> precise(nn.Linear(2, 1).half(), torch.full((1, 2), 6e4)).dtype
        torch.float32
    """
    alike = layer.weight.dtype == x.dtype and not torch.is_autocast_enabled(x.device.type)
    if alike or widen(x) is not x:
        called: Tensor = layer(x)
        return called
    weight, bias = widen(layer.weight), None if layer.bias is None else widen(layer.bias)
    with full_precision(x):
        if isinstance(layer, nn.Linear):
            return F.linear(x, weight, bias)
        convolve: Any = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}[weight.ndim]
        out: Tensor = convolve(x, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)
        return out


def exact_linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """Return ``layer(x)``, for half types outside autocast in float32: scores decide by small differences."""
    whole_precision = widen(x) is x and x.dtype == layer.weight.dtype
    if whole_precision or torch.is_autocast_enabled(x.device.type):
        return cast(Tensor, layer(x))
    bias = None if layer.bias is None else widen(layer.bias)
    return F.linear(widen(x), widen(layer.weight), bias)


def as_saved(backward: Backward) -> Backward:
    """Keep autocast out of a backward pass that is written by hand.

    What it multiplies has the types of the forward pass; inside of autocast, where ``loss.backward()`` may
    well be called, a part of the products would come out in half precision and not fit the rest.
    """

    @functools.wraps(backward)
    def run(ctx: Any, grad: Tensor, *more: Any) -> Any:
        with full_precision(grad):
            return backward(ctx, grad, *more)

    return cast(Backward, run)
