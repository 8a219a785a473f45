"""The weights of one call of one layer, with what is known about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from foveate.errors import OptionError, ShapeError
from foveate.explain.geometry.places import Geometry, Kind, Places
from foveate.explain.geometry.to_picture import Resize, cell_of, on_cells, resize, shares_of


class OnPicture(NamedTuple):
    """A map laid over a picture.

    Attributes:
        values: (B, H, W) weights; NaN where no key lies.
        dropped: (B,) weight that lies on no place of the picture: on the prefix, or on padding.
    """

    values: Float[Tensor, "b h w"]
    dropped: Float[Tensor, " b"]


@dataclass(eq=False)
class AttentionMap:
    """The weights of one call of one layer.

    Args:
        path: Path of the layer in the model.
        call: Which call of this layer it was inside the block, from 0 on.
        order: Which of all recorded calls it was, from 0 on.
        weights: What multiplied the values; see ``axes``.
        axes: ``b`` images, ``g`` groups (windows), ``k`` heads, ``n`` queries, ``m`` keys; gates and taps
            have others, see ``MapTap``.
        kind: ``"softmax"``, rows sum to 1; ``"mixed"``, a softmax that was changed before it multiplied the
            values, as by talking heads, and can be signed; ``"linear"``, weights of linear attention;
            ``"channel"``, channels that attend to channels; ``"gate"``, factors that values are multiplied
            by; ``"tap"``, a mechanism of foveate.
        geometry: Where queries and keys lie; None if this model's family does not declare it.
        note: Why the geometry is unknown, or what else one has to know.
        precision: How exact the weights are, in words.
        heads: The heads that were kept, or ``"mean"``; None for all.
        queries: The queries that were kept; None for all.
        gradient: With ``grad=True``, the gradient with respect to ``weights`` of what ``backward`` was last
            called on inside the block, in the same axes; else None.
    """

    path: str
    call: int
    order: int
    weights: Tensor
    axes: str
    kind: Kind
    geometry: Geometry | None = None
    note: str = ""
    precision: str = "exact"
    heads: tuple[int, ...] | Literal["mean"] | None = None
    queries: tuple[int, ...] | None = None
    gradient: Tensor | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.weights.shape))
        where = f", {self.geometry}" if self.geometry else ", geometry unknown" if "m" in self.axes else ""
        return f"AttentionMap({self.path!r}, call {self.call}, {self.kind}, {self.axes}: {shape}{where})"

    @property
    def pairwise(self) -> bool:
        """Whether queries attend to keys: the axes are ``b (g) k n m``."""
        return self.axes in ("b k n m", "b g k n m")

    def grouped(self, values: Tensor | None = None) -> Float[Tensor, "b g k n m"]:
        """Return the weights, or their gradient, with an axis of groups even if there is only one.

        Raises:
            ShapeError: The map is not pairwise.
        """
        values = self.weights if values is None else values
        if not self.pairwise:
            raise ShapeError(f'{self}: has the axes "{self.axes}", no pairs of queries and keys')
        return values if "g" in self.axes else values[:, None]

    def dense(self, values: Tensor | None = None) -> Float[Tensor, "b k q m"]:
        """Return one matrix over the whole picture, also for windows: prefix tokens first, then all cells.

        Rows are the prefix of the queries and the cells of their grid, columns those of the keys. A key that
        covers several cells shares its weight among them; a query that covers several gives all of them
        its row, and a cell that several queries cover has their mean. Rows sum to what does not lie on
        padding; rows of cells without a query are zero.

        Args:
            values: In place of the weights, something in their axes, such as ``gradient``.

        Raises:
            ShapeError: The geometry is unknown or without places, or only some queries were kept.
        """
        values = self.grouped(values)
        geometry = self._on_picture()
        if self.queries is not None:
            raise ShapeError(f"{self}: only some queries were kept. Record without queries=.")
        columns = _with_prefix(values, geometry.keys)  # b g k n M
        b, g, k, _, m = columns.shape
        places = geometry.queries
        prefix, size = len(places.prefix), places.height * places.width
        out = columns.new_zeros(b, k, size + 1, m)
        times = columns.new_zeros(size + 1)
        cells, _ = shares_of(places, columns)
        for group in range(g):
            for part in cells[group % len(cells), prefix:].T:
                out.index_add_(2, part, columns[:, group, :, prefix:])
                times.index_add_(0, part, torch.ones_like(part, dtype=times.dtype))
        out = out[:, :, :size] / times[:size].clamp(min=1)[:, None]
        return torch.cat([columns[:, :, :, :prefix].mean(dim=1), out], dim=2)

    def to_image(
        self,
        size: tuple[int, int],
        *,
        query: tuple[int, int] | int | Literal["class", "mean"] | None = None,
        head: int | None = None,
        how: Resize = "nearest",
        renormalise: bool = False,
    ) -> OnPicture:
        """Lay the map over a picture.

        Args:
            size: Height and width of the picture in pixels.
            query: Whose map: a pixel (row, column) of a picture of this size, the number of an entry of the
                first group, ``"class"`` for the class token, or ``"mean"`` over all queries that have a
                place. None takes the class token if there is one, else the mean.
            head: One head; None for the mean of all.
            how: ``"nearest"`` shows the cells; ``"bilinear"`` blends between their centres.
            renormalise: Whether to divide by what is left after prefix and padding were dropped.

        Returns:
            The values, and the weight that was dropped because it lies on the prefix or on padding. A key
            that covers several cells shares its weight among them.

        Raises:
            ShapeError: The geometry is unknown or without places.
            OptionError: There is no such query or head.
        """
        if self.kind == "gate":
            return self._gate_to_image(size, how)
        geometry = self._on_picture()
        weights = self._of_head(head)  # b g n m
        rows = self._of_query(weights, geometry.queries, query, size)  # b g m
        keys = geometry.keys
        cells = on_cells(_match_groups(rows, keys), keys)
        dropped = rows.sum(dim=(1, 2)) - cells.sum(-1)
        if renormalise:
            cells = cells / cells.sum(-1, keepdim=True)
        return OnPicture(
            resize(cells.unflatten(-1, (keys.height, keys.width)), size, keys.reach, how), dropped
        )

    def _gate_to_image(self, size: tuple[int, int], how: Resize) -> OnPicture:
        names = self.axes.split()
        if "h" not in names or "w" not in names:
            raise ShapeError(f'{self}: has the axes "{self.axes}", no positions')
        weights = self.weights.float()
        others = [i for i, name in enumerate(names) if name not in "bhw"]
        maps = weights.mean(dim=others) if others else weights
        return OnPicture(resize(maps, size, how=how), maps.new_zeros(len(maps)))

    def _on_picture(self) -> Geometry:
        if self.geometry is None:
            raise ShapeError(f"{self}: {self.note or 'its family declares no geometry'}. Use .weights.")
        for places in (self.geometry.queries, self.geometry.keys):
            if places.space == "channels" or (places is self.geometry.keys and places.space != "picture"):
                raise ShapeError(f"{self}: its {places.space} have no place on a picture. Use .weights.")
        return self.geometry

    def _of_head(self, head: int | None) -> Float[Tensor, "b g n m"]:
        weights = self.grouped().float()
        if head is None:
            return weights.mean(dim=2)
        kept = list(range(weights.shape[2])) if self.heads is None else list(self.heads)
        if head not in kept:
            raise OptionError(f"head: got {head}, {self} has {', '.join(map(str, kept))}")
        return weights[:, :, kept.index(head)]

    def _of_query(
        self, weights: Tensor, places: Places, query: object, size: tuple[int, int]
    ) -> Float[Tensor, "b g m"]:
        """Return the rows of a query as weights over the keys of each group, summing to the row's sum."""
        if query is None:
            query = "class" if "class" in places.prefix else "mean"
        kept = range(places.entries) if self.queries is None else self.queries
        row_of = {entry: row for row, entry in enumerate(kept)}
        groups = weights.shape[1]
        chosen = torch.zeros(groups, len(kept), device=weights.device, dtype=weights.dtype)
        for group, entry in self._entries(places, query, size, groups):
            if entry in row_of:
                chosen[group, row_of[entry]] = 1
        if not chosen.any():
            raise OptionError(f"query: got {query!r}, no query of {self} is there, or it was not kept")
        return torch.einsum("bgnm,gn->bgm", weights, chosen / chosen.sum())

    def _entries(
        self, places: Places, query: object, size: tuple[int, int], groups: int
    ) -> list[tuple[int, int]]:
        """Return the (group, entry) pairs that a query means."""
        if query == "class":
            return [(g, i) for g in range(groups) for i, name in enumerate(places.prefix) if name == "class"]
        if isinstance(query, int):
            return [(0, query)]
        if query == "mean" and places.cells is None:
            return [(g, i) for g in range(groups) for i in range(places.entries)]
        if places.cells is None:
            raise OptionError(
                f"query: got {query!r}, the {places.space} of {self} have no place: give a number"
            )
        if query == "mean":
            found = (places.cells >= 0).any(-1)
        elif isinstance(query, tuple) and len(query) == 2:
            cell = cell_of(query, size, places)
            found = (places.cells == cell).any(-1) if cell is not None else torch.zeros(())
        else:
            raise OptionError(f'query: got {query!r}, expected (row, column), a number, "class" or "mean"')
        return [(int(g), int(i)) for g, i in found.nonzero().tolist()] if found.ndim else []


def _match_groups(rows: Float[Tensor, "b g m"], keys: Places) -> Float[Tensor, "b g m"]:
    """Sum over groups that see the same keys, where only the queries lie in groups."""
    return rows if rows.shape[1] == keys.groups else rows.sum(dim=1, keepdim=True)


def _with_prefix(values: Float[Tensor, "b g k n m"], keys: Places) -> Float[Tensor, "b g k n M"]:
    """Spread the keys of each group over prefix and all cells of the grid."""
    prefix, size = len(keys.prefix), keys.height * keys.width
    cells, shares = shares_of(keys, values)
    if len(cells) == 1:
        cells, shares = cells.expand(values.shape[1], -1, -1), shares.expand(values.shape[1], -1, -1)
    spread = (values[..., None] * shares[:, None, None]).flatten(-2)
    out = values.new_zeros(*values.shape[:-1], size + 1)
    out.scatter_add_(-1, cells.flatten(1)[:, None, None].expand(spread.shape), spread)
    return torch.cat([values[..., :prefix], out[..., :-1]], dim=-1)
