"""In which order a map gives up its pixels: most important first, ties by the lower raster index.

A map that is 0 over half of the picture does not say in which order those pixels go: the share of tied
pixels belongs beside every figure that depends on the order.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from foveate.errors import OptionError


def ranks(maps: Float[Tensor, "b h w"], generator: torch.Generator | None = None) -> Int64[Tensor, "b n"]:
    """Return when each pixel's turn comes (B, H*W): 0 for the largest value.

    Args:
        maps: Finite.
        generator: Draws the order among pixels of the same value; by the raster if None.
    """
    flat = maps.flatten(1)
    if generator is None:
        order = torch.sort(flat, dim=1, descending=True, stable=True).indices
    else:
        shuffled = torch.rand(flat.shape, generator=generator).argsort(dim=1).to(flat.device)
        within = torch.sort(flat.gather(1, shuffled), dim=1, descending=True, stable=True).indices
        order = shuffled.gather(1, within)
    places = torch.arange(flat.shape[1], device=flat.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)


def tied(maps: Float[Tensor, "b h w"]) -> Float64[Tensor, " b"]:
    """Return the share of pixels whose value another pixel has too, in [0, 1]."""
    values = maps.flatten(1).sort(dim=1).values
    same = F.pad(values[:, 1:] == values[:, :-1], (1, 1))
    return (same[:, 1:] | same[:, :-1]).double().mean(dim=1)


def cells(maps: Float[Tensor, "b h w"], side: int) -> Float[Tensor, "b r c"]:
    """Return the mean of a map over each cell of ``side`` x ``side`` pixels, such as a patch.

    Raises:
        OptionError: The picture is not made of whole cells.
    """
    height, width = maps.shape[-2:]
    if height % side or width % side:
        raise OptionError(
            f"cell={side}: the pictures of {height} x {width} pixels are not made of whole cells of this "
            "side. Choose a divisor of both, such as the side of the model's patches."
        )
    return maps if side == 1 else F.avg_pool2d(maps[:, None], side)[:, 0]


def spread(cell_values: Tensor, side: int) -> Tensor:
    """Return what holds for cells (..., R, C) for each of their pixels (..., H, W)."""
    if side == 1:
        return cell_values
    return cell_values.repeat_interleave(side, dim=-2).repeat_interleave(side, dim=-1)
