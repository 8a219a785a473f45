"""Steps down and up a pyramid of maps, which an export keeps for any size."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d, pad

from foveate.mechanisms.kernels.symbolic_sizes import at_least_one


def halved(x: Tensor) -> Tensor:
    """Return the maxima of 2 x 2 positions, of fewer at an odd edge."""
    if torch.compiler.is_exporting():  # what rounds up would fix the size
        even = pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2), value=-math.inf)
        return even.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).amax(dim=(3, 5))
    return max_pool2d(x, 2, ceil_mode=True)


def up(coarse: Tensor, like: Tensor) -> Tensor:
    """Stretch ``coarse`` to the height and width of ``like``, corner pixels on corner pixels."""
    return interpolate(coarse, size=like.shape[2:], mode="bilinear", align_corners=True)


def halved_and_back(layers: nn.Sequential, quarter: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
    """Return ``layers`` of the halved map, stretched back: ``up(layers(halved(quarter)), quarter)``."""
    if torch.compiler.is_exporting() and not layers.training:
        return _exported(layers, quarter)
    return up(layers(halved(quarter)), quarter)


def _exported(layers: nn.Sequential, quarter: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
    """Return the coarsest map, stretched to ``quarter``, by steps that no map is too small for.

    An example whose coarsest map has one row makes an export hold for one row only. So here it carries a
    row and a column more, of zeros, as the convolutions pad it with, and of no weight in the stretching.
    """
    eighth = halved(pad(quarter, (0, 2, 0, 2), value=-math.inf))
    sizes = [(length + 1) // 2 for length in quarter.shape[2:]]
    rows, columns = (torch.arange(n, device=quarter.device) for n in eighth.shape[2:])
    inside = (rows < sizes[0])[:, None] & (columns < sizes[1])
    for layer in layers:
        eighth = layer(torch.where(inside, eighth, 0.0))
    down, right = (
        _hats(to, of, at.to(quarter.dtype))
        for to, of, at in zip(quarter.shape[2:], sizes, (rows, columns), strict=True)
    )
    stretched = (eighth.unsqueeze(4) * right.T).sum(dim=3)  # no matrix product: none is counted
    return (stretched.unsqueeze(2) * down[:, :, None]).sum(dim=3)


def _hats(to: int, of: int, places: Tensor) -> Tensor:
    """Return (to, places): how much each of ``of`` places counts in the ``to`` that they become."""
    step = (of - 1) / at_least_one(to - 1)
    at = torch.arange(to, device=places.device, dtype=places.dtype) * step
    return (1 - (at[:, None] - places).abs()).clamp(min=0)
