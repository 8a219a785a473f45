"""Tokens in the order of Hiera, where the cells that will be pooled together are the slowest axes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from foveate.explain.geometry.places import Places, numbered, on_picture


def unrolled_cells(height: int, width: int, strides: Sequence[tuple[int, int]]) -> Tensor:
    """Return the cells (H*W,) in Hiera's order: the strides' own axes first, the first stride outermost.

    Example:
        >>> unrolled_cells(4, 4, [(2, 2)]).tolist()[:6]
        [0, 2, 8, 10, 1, 3]
    """
    cells = numbered(height, width)[None]  # (done, rows, columns)
    for rows, columns in strides:
        parts = cells.unflatten(2, (-1, columns)).unflatten(1, (-1, rows))  # (done, H/r, r, W/c, c)
        cells = parts.permute(0, 2, 4, 1, 3).flatten(0, 2)
    return cells.reshape(-1)


def unrolled(
    height: int,
    width: int,
    strides: Sequence[tuple[int, int]],
    groups: int = 1,
    reach: tuple[float, float] = (1, 1),
) -> Places:
    """Return the places of Hiera's tokens: those of mask unit ``u`` are every ``groups``-th from ``u`` on.

    Args:
        height: Rows of the map.
        width: Columns of the map.
        strides: The strides that are still to be pooled away, the next one first.
        groups: Number of mask units that attend by themselves; 1 for attention over the whole map.
        reach: See ``Places``.
    """
    cells = unrolled_cells(height, width, strides).view(-1, groups).T
    return on_picture(cells, height, width, reach=reach)
