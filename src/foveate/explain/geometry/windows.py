"""Windows: neighbours, or every so many cells; rolled, and padded, in the order of each library."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from foveate.explain.geometry.places import NOWHERE, Places, numbered, on_picture


def windows(
    height: int,
    width: int,
    window: tuple[int, int],
    shift: tuple[int, int] = (0, 0),
    order: Literal["roll, pad", "pad, roll"] = "roll, pad",
    reach: tuple[float, float] = (1, 1),
) -> Places:
    """Return the places of windows of neighbouring cells, windows and cells row by row.

    Args:
        height: Rows of the map.
        width: Columns of the map.
        window: Rows and columns of a window.
        shift: By how many rows and columns the map is rolled up and to the left first (Swin).
        order: timm rolls, then pads at the right and at the bottom; torchvision and transformers pad, then
            roll.
        reach: See ``Places``.

    Example:
        >>> windows(8, 8, (4, 4), (2, 2)).cells[0, :4, 0].tolist()
        [18, 19, 20, 21]
    """
    cells = numbered(height, width)
    back = (-shift[0], -shift[1])
    if order == "roll, pad":
        cells = padded(cells.roll(back, (0, 1)), window)
    else:
        cells = padded(cells, window).roll(back, (0, 1))
    return on_picture(cut(cells, window), height, width, reach=reach)


def spread_windows(
    height: int, width: int, window: tuple[int, int], reach: tuple[float, float] = (1, 1)
) -> Places:
    """Return the places of windows whose cells are spread over the map, as in MaxViT's grid attention.

    Args:
        height: Rows of the map, a multiple of those of a window.
        width: Columns of the map, a multiple of those of a window.
        window: Rows and columns of a window.
        reach: See ``Places``.

    Example:
        >>> spread_windows(8, 8, (4, 4)).cells[0, :6, 0].tolist()
        [0, 2, 4, 6, 16, 18]
    """
    rows, columns = window
    cells = numbered(height, width).view(rows, height // rows, columns, width // columns)
    return on_picture(cells.permute(1, 3, 0, 2).reshape(-1, rows * columns), height, width, reach=reach)


def padded(cells: Tensor, window: tuple[int, int]) -> Tensor:
    """Return a grid with cells of padding at the right and the bottom, so that windows divide it."""
    height, width = cells.shape
    return F.pad(cells, (0, -width % window[1], 0, -height % window[0]), value=NOWHERE)


def cut(cells: Tensor, window: tuple[int, int]) -> Tensor:
    """Cut a grid (H, W) into windows (windows, cells), both row by row."""
    height, width = cells.shape
    parts = cells.view(height // window[0], window[0], width // window[1], window[1])
    return parts.transpose(1, 2).reshape(-1, window[0] * window[1])
