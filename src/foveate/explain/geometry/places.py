"""The places of one axis of a map: which cells of a grid over the picture each entry covers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

NOWHERE = -1  # an entry, or a part of one, that covers no cell: padding, or a token without a place

Space = Literal["picture", "sequence", "channels", "slots"]
Kind = Literal["softmax", "mixed", "linear", "channel", "gate", "tap"]  # see ``AttentionMap``


@dataclass(frozen=True, eq=False)
class Places:
    """Where the entries of one axis lie.

    Args:
        space: ``"picture"`` for cells of a grid over the picture; ``"sequence"`` for words or steps;
            ``"channels"``; ``"slots"`` for learned queries, such as the object queries of DETR.
        entries: How many entries the axis has.
        prefix: What the first entries are that have no place, such as ``("class", "register")``.
        height: Rows of the grid, 0 unless the space is the picture.
        width: Columns of the grid.
        cells: (groups, entries, cells per entry) whole numbers: the cells (row * width + column) that each
            entry covers, in each group (window) of the map; -1 for none. None unless the space is the
            picture.
        reach: How many heights and widths of the picture the grid spans: (1, 1) if cells divide it evenly,
            less if a border of the picture belongs to no cell, more if the last cells reach beyond it.
    """

    space: Space
    entries: int
    prefix: tuple[str, ...] = ()
    height: int = 0
    width: int = 0
    cells: Int[Tensor, "groups entries parts"] | None = None
    reach: tuple[float, float] = (1.0, 1.0)

    @property
    def groups(self) -> int:
        """Number of groups (windows) that the entries are split into; 1 if there are none."""
        return 1 if self.cells is None else len(self.cells)

    @property
    def padding(self) -> int:
        """Number of entries over all groups that are neither on the picture nor in the prefix."""
        if self.cells is None:
            return 0
        return int((self.cells < 0).all(-1)[:, len(self.prefix) :].sum())

    def __str__(self) -> str:
        if self.space != "picture":
            return f"{self.entries} {self.space}" if self.space != "sequence" else f"{self.entries} tokens"
        text = f"{self.height}×{self.width}"
        if self.groups > 1:
            text += f" in {self.groups} groups of {self.entries - len(self.prefix)}"
        elif self.entries - len(self.prefix) != self.height * self.width:
            text += f" by {self.entries - len(self.prefix)} entries"
        if self.prefix:
            text += f" after {len(self.prefix)} ({', '.join(dict.fromkeys(self.prefix))})"
        return text + (f", {self.padding} padding" if self.padding else "")


@dataclass(frozen=True, eq=False)
class Geometry:
    """Where the queries and the keys of a map lie.

    Args:
        queries: Places of the axis ``n``.
        keys: Places of the axis ``m``.
        window: Height and width of the windows in cells, if attention stays inside windows.
        shift: By how many rows and columns the map was rolled before it was cut into windows.
    """

    queries: Places
    keys: Places
    window: tuple[int, int] | None = None
    shift: tuple[int, int] = (0, 0)

    def __str__(self) -> str:
        text = str(self.keys) if self.queries is self.keys else f"{self.queries} → {self.keys}"
        if self.window:
            text += f", window {self.window[0]}×{self.window[1]}"
        return text + (f", shift {self.shift[0]}, {self.shift[1]}" if any(self.shift) else "")


def numbered(height: int, width: int) -> Int[Tensor, "h w"]:
    """Return the number of each cell of a grid, row by row."""
    return torch.arange(height * width).view(height, width)


def on_picture(
    cells: Tensor, height: int, width: int, prefix: tuple[str, ...] = (), reach: tuple[float, float] = (1, 1)
) -> Places:
    """Return places on a grid from the cells (groups, entries) or (groups, entries, parts) of the entries."""
    cells = cells if cells.ndim == 3 else cells[..., None]
    if prefix:
        none = torch.full((len(cells), len(prefix), cells.shape[2]), NOWHERE)
        cells = torch.cat([none, cells], dim=1)
    return Places("picture", cells.shape[1], prefix, height, width, cells, reach)


def sequence(entries: int) -> Places:
    """Return the places of words or steps."""
    return Places("sequence", entries)


def channels(entries: int) -> Places:
    """Return the places of channels: none."""
    return Places("channels", entries)


def slots(entries: int) -> Places:
    """Return the places of learned queries: none."""
    return Places("slots", entries)
