"""Blocks of queries that look at a larger window around them: HaloNet."""

from __future__ import annotations

import torch.nn.functional as F

from foveate.explain.geometry.places import NOWHERE, Places, numbered, on_picture


def halo_windows(
    height: int, width: int, block: int, halo: int, reach: tuple[float, float] = (1, 1)
) -> Places:
    """Return the places of the keys of each block: a window with ``halo`` more cells on each side.

    Args:
        height: Rows of the map, a multiple of ``block``.
        width: Columns of the map, a multiple of ``block``.
        block: Rows, and columns, of a block of queries.
        halo: Rows, and columns, that a window reaches beyond its block; outside the map it is padding.
        reach: See ``Places``.
    """
    cells = F.pad(numbered(height, width), (halo,) * 4, value=NOWHERE)
    size = block + 2 * halo
    cells = cells.unfold(0, size, block).unfold(1, size, block)  # (H/b, W/b, size, size)
    return on_picture(cells.reshape(-1, size * size), height, width, reach=reach)
