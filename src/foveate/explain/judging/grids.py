"""One grid for all maps: a fine map and a coarse one are not comparable before both are coarse.

Removing large squares pays in deletion curves, single pixels in others; so maps of methods and baselines are
brought to the grid of the coarsest map before they are judged.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Grid = tuple[int, int]
_LOOKED_AT = 4  # maps of a method whose resolution is measured
_EXACT = 1e-4  # of a map's norm: what float32 leaves of an interpolation


def resolution(maps: Float[Tensor, "b h w"]) -> Grid:
    """Return the smallest grid from which bilinear interpolation gives these maps; else that of the pictures.

    It is measured, axis by axis: a map is of g rows if no more than a share of 1e-4 of its norm lies outside
    of what g rows can be interpolated to (``align_corners=False``).
    """
    some = maps[torch.linspace(0, len(maps) - 1, min(len(maps), _LOOKED_AT)).long()].double().cpu()
    return _rows(some), _rows(some.transpose(1, 2))


def on_grid(maps: Float[Tensor, "b h w"], grid: Grid, own: Grid | None = None) -> Float[Tensor, "b h w"]:
    """Return maps at the resolution of a grid, still on the grid of the pictures.

    Each cell takes the mean of the map inside, and what lies between is interpolated. A map that is no finer
    than the grid stays as it is.

    Args:
        maps: Any.
        grid: Rows and columns.
        own: The resolution of the maps; measured if None.
    """
    size = (maps.shape[1], maps.shape[2])
    rows, columns = resolution(maps) if own is None else own
    if rows <= grid[0] and columns <= grid[1]:
        return maps
    small = F.adaptive_avg_pool2d(maps[:, None], grid)
    return F.interpolate(small, size=size, mode="bilinear", align_corners=False)[:, 0]


def _rows(maps: Float[Tensor, "b h w"]) -> int:
    height = maps.shape[1]
    norm = torch.linalg.vector_norm(maps)
    for rows in range(1, height):
        basis = torch.linalg.qr(_interpolation(rows, height)).Q  # H x rows
        if torch.linalg.vector_norm(maps - basis @ (basis.T @ maps)) <= _EXACT * norm:
            return rows
    return height


def _interpolation(rows: int, height: int) -> Float[Tensor, "h r"]:
    """Return the matrix with which ``rows`` values are interpolated to ``height``."""
    unit = torch.eye(rows, dtype=torch.float64)[:, None, :]
    return F.interpolate(unit, size=height, mode="linear", align_corners=False)[:, 0].T.contiguous()
