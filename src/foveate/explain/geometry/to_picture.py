"""From weights of entries to cells, and from cells to the pixels of a picture."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from foveate.explain.geometry.places import Places

Resize = Literal["nearest", "bilinear"]


def on_cells(weights: Float[Tensor, "*b groups entries"], places: Places) -> Float[Tensor, "*b cells"]:
    """Sum the weights of entries over their cells; the cells of an entry share its weight evenly.

    Weights of entries without a cell are left out, so that the sum can be less than that of ``weights``.
    """
    cells, shares = shares_of(places, weights)
    spread = (weights[..., None] * shares).flatten(-3)
    out = weights.new_zeros(*weights.shape[:-2], places.height * places.width + 1)
    index = cells.flatten().expand(spread.shape)
    return out.scatter_add_(-1, index, spread)[..., :-1]


def shares_of(places: Places, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cells of each entry, one beyond the last for none, and the share that each gets."""
    assert places.cells is not None
    cells = places.cells.to(like.device)
    covered = cells >= 0
    shares = covered.to(like.dtype) / covered.sum(-1, keepdim=True).clamp(min=1)
    return torch.where(covered, cells, places.height * places.width), shares


def resize(
    cells: Float[Tensor, "b h w"],
    size: tuple[int, int],
    reach: tuple[float, float] = (1, 1),
    how: Resize = "nearest",
) -> Float[Tensor, "b H W"]:
    """Lay a grid over a picture.

    Args:
        cells: Values of the grid.
        size: Height and width of the picture in pixels.
        reach: How many heights and widths of the picture the grid spans; pixels beyond the grid are NaN.
        how: ``"nearest"``, so that each pixel has the value of its cell, or ``"bilinear"`` between the
            centres of cells (``align_corners=False``).
    """
    height, width = cells.shape[-2:]
    rows, inside_rows = _positions(height, size[0], reach[0], cells)
    columns, inside_columns = _positions(width, size[1], reach[1], cells)
    if how == "nearest":
        values = cells[:, _nearest(rows, height)][:, :, _nearest(columns, width)]
    else:
        values = _blend(_blend(cells, rows, height, 1), columns, width, 2)
    return values.masked_fill(~(inside_rows[:, None] & inside_columns), torch.nan)


def cell_of(pixel: tuple[int, int], size: tuple[int, int], places: Places) -> int | None:
    """Return the cell that a pixel of a picture of this size lies in; None if no cell covers it."""
    found = []
    for at, pixels, count, reach in zip(
        pixel, size, (places.height, places.width), places.reach, strict=True
    ):
        found.append(int((at + 0.5) / pixels / reach * count))
        if not 0 <= found[-1] < count:
            return None
    return found[0] * places.width + found[1]


def _positions(count: int, pixels: int, reach: float, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the middle of each pixel in cells, and whether the grid covers it."""
    at = (torch.arange(pixels, device=like.device, dtype=torch.float64) + 0.5) / pixels / reach * count
    return at, at < count


def _nearest(at: Tensor, count: int) -> Tensor:
    return at.long().clamp(0, count - 1)


def _blend(values: Tensor, at: Tensor, count: int, axis: int) -> Tensor:
    at = (at - 0.5).clamp(0, count - 1)
    first = at.long()
    part = (at - first).to(values.dtype).view([-1 if i == axis else 1 for i in range(values.ndim)])
    low = values.index_select(axis, first)
    return low + part * (values.index_select(axis, (first + 1).clamp(max=count - 1)) - low)
