"""Keys that stand for runs of consecutive cells: NextViT pools tokens in their order, not squares of them."""

from __future__ import annotations

from foveate.explain.geometry.places import Places, numbered, on_picture


def runs(height: int, width: int, length: int, reach: tuple[float, float] = (1, 1)) -> Places:
    """Return the places of keys that cover ``length`` consecutive cells in the order of rows.

    A run that would reach beyond the last cell has no key, as with ``nn.AvgPool1d``.

    Example:
        >>> runs(14, 14, 4).cells[0, 3].tolist()  # from the end of the first row to the start of the second
        [12, 13, 14, 15]
    """
    cells = numbered(height, width).view(-1)
    return on_picture(cells[: len(cells) // length * length].view(1, -1, length), height, width, reach=reach)
