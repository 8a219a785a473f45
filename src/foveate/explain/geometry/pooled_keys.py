"""Keys that stand for several cells: blocks of a strided convolution, or of a pooling."""

from __future__ import annotations

import torch
from torch import Tensor

from foveate.explain.geometry.places import NOWHERE, Places, numbered, on_picture
from foveate.explain.geometry.windows import cut


def blocks(
    height: int,
    width: int,
    step: tuple[int, int],
    prefix: tuple[str, ...] = (),
    reach: tuple[float, float] = (1, 1),
) -> Places:
    """Return the places of keys that cover blocks of ``step`` rows and columns: PVT, Twins, SegFormer.

    Rows and columns that do not fill a block have no key, as with a convolution of this stride.

    Example:
        >>> blocks(4, 4, (2, 2)).cells[0, 0].tolist()
        [0, 1, 4, 5]
    """
    inside = numbered(height, width)[: height - height % step[0], : width - width % step[1]]
    return on_picture(cut(inside, step)[None], height, width, prefix, reach)


def adaptive_blocks(
    height: int, width: int, rows: int, columns: int, reach: tuple[float, float] = (1, 1)
) -> Places:
    """Return the places of the results of ``nn.AdaptiveAvgPool2d((rows, columns))``."""
    parts = [
        numbered(height, width)[_bin(height, rows, i)][:, _bin(width, columns, j)].reshape(-1)
        for i in range(rows)
        for j in range(columns)
    ]
    return on_picture(_even(parts)[None], height, width, reach=reach)


def _bin(size: int, parts: int, index: int) -> slice:
    return slice(index * size // parts, -(-(index + 1) * size // parts))


def _even(parts: list[Tensor]) -> Tensor:
    """Stack lists of cells of different lengths (entries, parts)."""
    out = torch.full((len(parts), max(len(part) for part in parts)), NOWHERE)
    for row, part in zip(out, parts, strict=True):
        row[: len(part)] = part
    return out
