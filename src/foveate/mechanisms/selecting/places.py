"""Where patches lie: the pixel at which the patch of an overview's cell begins, and grids of patches."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from foveate.large_pictures import LargePictures, Size, overview_size


def centred_on_cells(
    index: Int64[Tensor, "b k"], pictures: LargePictures, scale: float, size: int
) -> Int64[Tensor, "b k 2"]:
    """Return the top left pixel of patches that lie centred on cells of the overview.

    The cells of a picture of H pixels and h cells are H / h pixels apart: cell i begins a patch of side p at
    pixel i H / h + H / 2h - p / 2, rounded half to even. It may lie outside.

    Args:
        index: Numbers of the cells, row by row.
        pictures: What the overview is of.
        scale: Of the overview.
        size: Side of the patches in pixels.
    """
    begins = []
    for axis, cells in enumerate(_cells(index, overview_size(pictures.canvas, scale))):
        step = _step(pictures, scale, axis)
        begins.append((cells.double() * step + step / 2 - size / 2).round().long())
    return torch.stack(begins, dim=2)


def outside_cells(pictures: LargePictures, scale: float) -> Bool[Tensor, "b h w"] | None:
    """Return which cells of the overview lie outside of a picture smaller than the others; None if none."""
    if pictures.of_one_size:
        return None
    return _outside(pictures, [overview_size(one, scale) for one in pictures.sizes])


def grid_of(size: Size, side: int, stride: int) -> Size:
    """Return how many rows and columns of patches cover a picture; the last may reach outside.

    Example:
        >>> grid_of((1500, 1500), 50, 50), grid_of((120, 40), 50, 50)
        ((30, 30), (3, 1))
    """
    rows, columns = (1 + max(0, -(-(length - side) // stride)) for length in size)
    return rows, columns


def grid_places(index: Int64[Tensor, "b k"], grid: Size, stride: int) -> Int64[Tensor, "b k 2"]:
    """Return the top left pixel of patches of a grid, by their numbers, row by row."""
    return torch.stack(_cells(index, grid), dim=2) * stride


def outside_grid(pictures: LargePictures, side: int, stride: int) -> Bool[Tensor, "b h w"] | None:
    """Return which patches of the grid lie outside of a picture smaller than the others; None if none."""
    if pictures.of_one_size:
        return None
    return _outside(pictures, [grid_of(one, side, stride) for one in pictures.sizes])


def _cells(index: Int64[Tensor, "b k"], size: Size) -> tuple[Tensor, Tensor]:
    """Return row and column of cells by their numbers; looked up, as exporters cannot divide by a size."""
    rows, columns = (torch.arange(length, device=index.device) for length in size)
    lattice = rows.unsqueeze(1).expand(size), columns.expand(size)
    return lattice[0].flatten()[index], lattice[1].flatten()[index]


def _step(pictures: LargePictures, scale: float, axis: int) -> Any:
    """Return the pixels from one cell of the overview to the next: one number, or (B, 1)."""
    if pictures.of_one_size:
        return pictures.canvas[axis] / overview_size(pictures.canvas, scale)[axis]
    own = [size[axis] / overview_size(size, scale)[axis] for size in pictures.sizes]
    return torch.tensor(own, dtype=torch.float64, device=pictures.device).unsqueeze(1)


def _outside(pictures: LargePictures, own: list[Size]) -> Bool[Tensor, "b h w"]:
    """Return what lies beyond each picture's own number of rows and columns."""
    limits = torch.tensor(own, device=pictures.device)
    rows = torch.arange(int(limits[:, 0].max()), device=pictures.device) >= limits[:, :1]
    columns = torch.arange(int(limits[:, 1].max()), device=pictures.device) >= limits[:, 1:]
    return rows.unsqueeze(2) | columns.unsqueeze(1)
