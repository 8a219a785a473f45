"""Every cell is one entry, row by row, after the tokens that have no place: ViT and its kin."""

from __future__ import annotations

import torch

from foveate.explain.geometry.places import NOWHERE, Places


def plain_grid(
    height: int, width: int, prefix: tuple[str, ...] = (), reach: tuple[float, float] = (1, 1)
) -> Places:
    """Return the places of ``height * width`` entries, row by row, behind a prefix.

    Example:
        >>> str(plain_grid(14, 14, ("class",)))
        '14×14 after 1 (class)'
    """
    count = len(prefix) + height * width
    cells = torch.arange(-len(prefix), height * width).clamp_(min=NOWHERE).view(1, count, 1)
    return Places("picture", count, prefix, height, width, cells, reach)
