"""What methods on attention share: the weights and gradients of all layers, and the way back through them.

A map is carried from what the target reads, the class token or the mean of all, back through the layers to
the tokens of the first one. It is a row vector times matrices from the last layer to the first, so no product
of two matrices is formed.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from foveate.errors import SiteError, first_few, nearest
from foveate.explain.geometry.places import Geometry
from foveate.explain.geometry.plain_grid import plain_grid
from foveate.explain.geometry.to_picture import on_cells, resize
from foveate.explain.methods.explanation import Explanation, Reads
from foveate.explain.question import Question
from foveate.explain.record import record
from foveate.explain.recording.attention_map import AttentionMap
from foveate.insert.layout import Layout


class Grid(NamedTuple):
    """Where tokens lie: so many without a place first, then the cells of a grid, row by row."""

    prefix: int
    height: int
    width: int

    def __len__(self) -> int:
        return self.prefix + self.height * self.width


@dataclass(frozen=True, eq=False)
class Link:
    """One layer of a chain.

    Args:
        seen: What was recorded.
        grid: Where its keys lie.
    """

    seen: AttentionMap
    grid: Grid

    @property
    def weights(self) -> Float[Tensor, "b g k n m"]:
        """The weights A, in windows ``g``."""
        return self.seen.grouped()

    @property
    def gradients(self) -> Float[Tensor, "b g k n m"]:
        """The gradient dA of the target's logit; zeros where it does not depend on A."""
        gradient = self.seen.gradient
        return torch.zeros_like(self.weights) if gradient is None else self.seen.grouped(gradient)

    def matrix(self, values: Float[Tensor, "b g k n m"]) -> Float[Tensor, "b k q p"]:
        """Return values in the axes of the weights as one matrix over all tokens, windows in their places."""
        return self.seen.dense(values if "g" in self.seen.axes else values[:, 0])


@dataclass(frozen=True, eq=False)
class Chain:
    """The self-attention of a model, from its input on.

    Args:
        links: Its layers.
        rows: (B, N) share of each token behind the last layer in what the target reads.
    """

    links: Sequence[Link]
    rows: Tensor

    def rows_at(self, link: Link) -> Tensor:
        """Return the share of each token of a layer, as far as grids differ."""
        return moved(self.rows, self.links[-1].grid, link.grid)


@dataclass(frozen=True)
class AttentionMethod(Explanation):
    """A method that is made from attention weights."""

    reads: ClassVar[Reads] = "attention"
    one_layer: ClassVar[bool] = False
    """Whether it looks at one layer, the last one if none is named."""

    def __call__(self, question: Question) -> Tensor:
        """Return the maps (B, H, W)."""
        chain = chain_of(question, self.one_layer)
        tokens, link = self.combine(chain)
        cells = tokens[:, link.grid.prefix :].unflatten(1, (link.grid.height, link.grid.width))
        geometry = link.seen.geometry
        assert geometry is not None
        return resize(cells, question.size, geometry.keys.reach, "bilinear").nan_to_num(0)

    @abstractmethod
    def combine(self, chain: Chain) -> tuple[Float[Tensor, "b n"], Link]:
        """Return a map over tokens, and the layer whose tokens these are."""


@dataclass(frozen=True)
class ChainMethod(AttentionMethod):
    """A method that goes back layer by layer."""

    @property
    def first(self) -> int:
        """The first layer, from 0."""
        return 0

    def combine(self, chain: Chain) -> tuple[Float[Tensor, "b n"], Link]:
        """Return the map over the first layer's tokens."""
        links = chain.links[self.first :]
        if not links:
            raise SiteError(f"{self}: starts at layer {self.first}, and there are {len(chain.links)}, from 0")
        rows, grid = chain.rows, chain.links[-1].grid
        for link in reversed(links):
            rows, grid = moved(rows, grid, link.grid), link.grid
            rows = self.step(
                rows, link.matrix(self.of_layer(link.weights, link.gradients).unsqueeze(2))[:, 0]
            )
        return rows, links[0]

    @abstractmethod
    def of_layer(
        self, weights: Float[Tensor, "*b k n m"], gradients: Float[Tensor, "*b k n m"]
    ) -> Float[Tensor, "*b n m"]:
        """Return the heads of one layer as one matrix."""

    @abstractmethod
    def step(self, rows: Float[Tensor, "b n"], matrix: Float[Tensor, "b n n"]) -> Float[Tensor, "b n"]:
        """Return a map over a layer's input from one over its output."""


def chain_of(question: Question, one_layer: bool) -> Chain:
    """Run the model and return its self-attention, with gradients of the target.

    Raises:
        SiteError: The model has none whose places are known, or not where the user named it.
    """
    with record(question.model, grad=True) as maps:
        question.back_to_images()
    chain = maps.chain()
    traced = question.layouts() if any(m.geometry is None for m in chain) else {}
    for m in chain:
        m.geometry = m.geometry or _traced(m, traced)
    found = [m for m in chain if _keys_on_picture(m)]
    links = [Link(m, _grid(m)) for m in found if _covers_picture(m)]
    if not links:
        raise SiteError(_why_none(maps.note, [m for m in maps.in_order if m.pairwise]))
    rows = _read_rows(links[-1], [m for m in found if m.order > links[-1].seen.order])
    if question.layer is not None:
        rows_of_all = rows, links[-1].grid
        links = [_named(path, links) for path in question.layer]
        rows = moved(*rows_of_all, links[-1].grid)
    elif one_layer:
        links = links[-1:]
    question.explained = tuple(link.seen.path for link in links)
    return Chain(links, rows)


def positive_part(
    weights: Float[Tensor, "*b k n m"], gradients: Float[Tensor, "*b k n m"]
) -> Float[Tensor, "*b n m"]:
    """Return the mean over heads of what is positive of gradient times weight."""
    return (gradients * weights).relu().mean(dim=-3)


def moved(rows: Float[Tensor, "b n"], grid: Grid, to: Grid) -> Float[Tensor, "b q"]:
    """Return shares of tokens as shares of those that they are the means of."""
    if grid == to:
        return rows
    cells = rows[:, grid.prefix :]
    if grid[1:] != to[1:]:
        eye = torch.eye(to.height * to.width, dtype=rows.dtype, device=rows.device)
        means = F.adaptive_avg_pool2d(eye.view(-1, 1, to.height, to.width), grid[1:]).flatten(1)  # old, new
        cells = cells @ means.T
    kept = rows[:, : min(grid.prefix, to.prefix)]
    return torch.cat([kept, rows.new_zeros(len(rows), to.prefix - kept.shape[1]), cells], dim=1)


def _traced(seen: AttentionMap, layouts: Mapping[str, Layout]) -> Geometry | None:
    """Return where the tokens of a layer lie that no family declares, by what was traced through the model.

    The layer's output has as many tokens as there are queries and keys, row by row behind class tokens.
    """
    if "g" in seen.axes or seen.weights.shape[-1] != seen.weights.shape[-2]:
        return None
    path = seen.path
    while path not in layouts and "." in path:
        path = path.rpartition(".")[0]
    layout = layouts.get(path)
    plain = layout is not None and layout.dims == 2 and not (layout.parts or layout.suffix or layout.within)
    if layout is None or not plain or layout.prefix + layout.positions != seen.weights.shape[-1]:
        return None
    places = plain_grid(layout.height, layout.width, ("token",) * layout.prefix)
    return Geometry(places, places)


def _keys_on_picture(seen: AttentionMap) -> bool:
    return seen.geometry is not None and seen.geometry.keys.space == "picture"


def _covers_picture(seen: AttentionMap) -> bool:
    """Return whether the queries are the positions too, on the grid of the keys."""
    assert seen.geometry is not None
    queries, keys = seen.geometry.queries, seen.geometry.keys
    same = (queries.height, queries.width) == (keys.height, keys.width)
    return queries.space == "picture" and same and len(queries.prefix) == len(keys.prefix)


def _grid(seen: AttentionMap) -> Grid:
    assert seen.geometry is not None
    keys = seen.geometry.keys
    return Grid(len(keys.prefix), keys.height, keys.width)


def _read_rows(last: Link, readers: Sequence[AttentionMap]) -> Float[Tensor, "b n"]:
    """Return the share of each token behind the last layer in what the target reads.

    What a later layer with queries of its own reads, such as attention pooling; else the tokens whose
    attention in the last layer has a gradient; else the class token, or all positions.
    """
    for reader in reversed(readers):
        weights = reader.grouped().float().mean(dim=(2, 3))  # b g m
        geometry = reader.geometry
        assert geometry is not None
        if _grid(reader)[1:] == last.grid[1:]:
            cells = on_cells(weights, geometry.keys)
            prefix = weights[:, 0, : len(geometry.keys.prefix)]
            return moved(torch.cat([prefix, cells], dim=1), _grid(reader), last.grid)
    touched = last.matrix(last.gradients.abs().sum(dim=2, keepdim=True))[:, 0].sum(dim=2)  # b n
    read = (touched > 0).to(last.weights.dtype)
    if not bool(read.any(dim=1).all()):
        read = torch.zeros_like(read)
        read[:, 0 if last.grid.prefix else slice(None)] = 1
    return read / read.sum(dim=1, keepdim=True)


def _named(path: str, links: Sequence[Link]) -> Link:
    for link in links:
        if link.seen.path == path or link.seen.path.startswith(f"{path}."):
            return link
    paths = [link.seen.path for link in links]
    raise SiteError(f'layer: no self-attention was recorded at "{path}". {nearest(path, paths)}')


def _why_none(note: str, pairwise: Sequence[AttentionMap]) -> str:
    if not pairwise:
        return (
            f"the model has no self-attention over positions of the image. {note} Use a method such as "
            f"grad_cam, "
            "or mechanism for the maps of foveate's mechanisms"
        )
    return (
        "where the queries and keys of this model's attention lie is not known "
        f"({first_few(m.path for m in pairwise)}: {pairwise[0].note or 'not on the image'}). Use a method "
        f"such as "
        "grad_cam"
    )
