"""What an atlas holds, as plain arrays: pictures, the attention of each layer, other maps, scores.

Shapes  weights float (K, R, M): heads, rows (one for each query), entries of a row (one for each key).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int, UInt8

from foveate.errors import ShapeError

NOWHERE = -1  # a part of an entry that covers no cell


@dataclass(frozen=True, eq=False)
class Axis:
    """Where the entries of one axis of a layer's weights lie.

    Args:
        entries: How many there are in a row of keys, or how many rows of queries.
        grid: Rows and columns of the cells over the picture; None for entries without a place.
        cells: (sets, entries, parts) the cells that each entry covers, -1 for none; of queries one set.
            Windows are sets: the keys of a row lie where its set says.
        names: Entry -> name, of those that have no cell but a name: class tokens, words, slots. An entry that
            has neither is padding.
        reach: How many heights and widths of the picture the grid spans.
    """

    entries: int
    grid: tuple[int, int] | None = None
    cells: Int[np.ndarray, "sets entries parts"] | None = None
    names: Mapping[int, str] = field(default_factory=dict)
    reach: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True, eq=False)
class AtlasLayer:
    """The attention of one layer on one picture.

    Args:
        name: Path of the layer, with the number of the call if there are several.
        weights: (heads, rows, entries).
        queries: Where the rows lie.
        keys: Where the entries lie.
        sets: (rows,) the set of keys that each row looks at; None if there is one set.
        note: What else one has to know, such as that few queries were kept.
        heads: Numbers of the heads.

    Raises:
        ShapeError: The parts do not fit.
    """

    name: str
    weights: Float[np.ndarray, "k r m"]
    queries: Axis
    keys: Axis
    sets: Int[np.ndarray, " r"] | None = None
    note: str = ""
    heads: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.weights.ndim != 3 or self.weights.shape[1:] != (self.queries.entries, self.keys.entries):
            raise ShapeError(
                f"{self.name}: got weights {self.weights.shape} for {self.queries.entries} queries and "
                f"{self.keys.entries} keys, expected (heads, queries, keys)"
            )
        for axis in (self.queries, self.keys):
            if axis.cells is not None and axis.cells.shape[1] != axis.entries:
                raise ShapeError(f"{self.name}: got cells {axis.cells.shape} for {axis.entries} entries")

    def thinned(self, step: int) -> AtlasLayer:
        """Return the layer with every ``step``-th row and column of queries; named queries all stay.

        A place between is shown by the query that is kept next to it, up and to the left.
        """
        if step == 1 or self.queries.grid is None or self.queries.cells is None:
            return self
        height, width = self.queries.grid
        cells = self.queries.cells[0, :, 0]
        row, column = np.divmod(cells, width)
        kept = np.flatnonzero((cells < 0) | ((row % step == 0) & (column % step == 0)))
        grid = (-(-height // step), -(-width // step))
        coarse = np.where(cells < 0, NOWHERE, row // step * grid[1] + column // step)[kept]
        new = {old: place for place, old in enumerate(kept.tolist())}
        names = {new[entry]: name for entry, name in self.queries.names.items() if entry in new}
        reach = (
            self.queries.reach[0] * grid[0] * step / height,
            self.queries.reach[1] * grid[1] * step / width,
        )
        queries = Axis(len(kept), grid, coarse[None, :, None], names, reach)
        note = f"one query of each {step}×{step} is kept"
        return replace(
            self,
            weights=self.weights[:, kept],
            queries=queries,
            sets=None if self.sets is None else self.sets[kept],
            note=f"{self.note}; {note}" if self.note else note,
        )


@dataclass(frozen=True)
class Table:
    """Figures beside a picture, as text.

    Args:
        caption: What they are.
        columns: Headings.
        rows: One text for each heading.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, eq=False)
class AtlasPicture:
    """One picture with all that is shown of it.

    Args:
        name: Of the picture.
        image: uint8 (H, W, 3), as the model saw it.
        layers: Its attention, first layer first.
        maps: Name of a method -> its map (h, w), any range.
        prediction: Labels and probabilities, the most probable first.
        truth: The true label, if it is known.
        tables: Scores of its maps.
    """

    name: str
    image: UInt8[np.ndarray, "hh ww 3"]
    layers: Sequence[AtlasLayer] = ()
    maps: Mapping[str, Float[np.ndarray, "h w"]] = field(default_factory=dict)
    prediction: Sequence[tuple[str, float]] = ()
    truth: str | None = None
    tables: Sequence[Table] = ()


@dataclass(frozen=True)
class Atlas:
    """A page.

    Args:
        title: Its heading, such as the name of the model.
        pictures: At least one.
        tables: Scores over all pictures.
        notes: Sentences on where the maps come from.

    Raises:
        ShapeError: There is no picture.
    """

    title: str
    pictures: Sequence[AtlasPicture]
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.pictures:
            raise ShapeError("atlas: got no picture, expected at least one")


def values_of(layers: Sequence[AtlasLayer]) -> int:
    """Return how many weights these layers hold."""
    return sum(layer.weights.size for layer in layers)
