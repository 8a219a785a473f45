"""The neighbourhood of each centre of a map, cut out as ``nn.Unfold`` does: VOLO's outlook attention."""

from __future__ import annotations

import torch.nn.functional as F

from foveate.explain.geometry.places import NOWHERE, Places, numbered, on_picture


def neighbourhoods(
    height: int, width: int, kernel: int, stride: int, padding: int, reach: tuple[float, float] = (1, 1)
) -> Places:
    """Return the places of the cells of each neighbourhood; outside the map there is padding.

    Args:
        height: Rows of the map.
        width: Columns of the map.
        kernel: Rows, and columns, of a neighbourhood.
        stride: Distance between two centres.
        padding: Rows, and columns, of padding around the map.
        reach: See ``Places``.

    Example:
        >>> neighbourhoods(4, 4, 3, 2, 1).cells[0, :, 0].tolist()
        [-1, -1, -1, -1, 0, 1, -1, 4, 5]
    """
    cells = F.pad(numbered(height, width), (padding,) * 4, value=NOWHERE)
    cells = cells.unfold(0, kernel, stride).unfold(1, kernel, stride)
    return on_picture(cells.reshape(-1, kernel * kernel), height, width, reach=reach)
