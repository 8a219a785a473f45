"""Every cell is one entry, row by row, after the tokens that have no place: ViT and its kin."""

from __future__ import annotations

from foveate.explain.geometry.places import Places, numbered, on_picture


def plain_grid(
    height: int, width: int, prefix: tuple[str, ...] = (), reach: tuple[float, float] = (1, 1)
) -> Places:
    """Return the places of ``height * width`` entries, row by row, behind a prefix.

    Example:
        >>> str(plain_grid(14, 14, ("class",)))
        '14×14 after 1 (class)'
    """
    return on_picture(numbered(height, width).view(1, -1), height, width, prefix, reach)
