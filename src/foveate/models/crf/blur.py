"""The blur of the lattice: along one axis after the other, from the touched vertices to the touched vertices.

A blur works on a grown lattice, since a path between two touched vertices may lead over one that no pixel
touches. Most of these can be reached along some axes only, or lead back along some only: the matrix of an
axis leaves out the rest, which would add nothing.

Paper   Adams, Baek, Davis. Fast High-Dimensional Filtering Using the Permutohedral Lattice. Eurographics
        2010. Section 3.2.
Shapes  M vertices, the touched ones first, d + 1 axes.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from foveate.models.crf import backend
from foveate.models.crf.bags import Bags
from foveate.models.crf.lattice import Pairs


def blurs(axes: list[Pairs], vertices: int, touched: int, taps: Float[Tensor, " taps"]) -> list[Bags]:
    """Return the matrices of the axes, in the order in which they are applied.

    Args:
        axes: Along each axis the pairs of vertices that exchange values.
        vertices: M.
        touched: How many of them a pixel touches. Only these have a value before the first axis, and only
            their values after the last axis are right.
        taps: The weight of a vertex itself, and of those 1, 2, ... steps away.
    """
    first = torch.zeros(vertices, dtype=torch.bool, device=taps.device)
    first[:touched] = True
    reached, wanted = [first], [first]
    for ahead, back in zip(axes, reversed(axes), strict=True):
        reached.append(_spread(ahead, reached[-1]))
        wanted.append(_spread(back, wanted[-1]))
    ends = zip(axes, reached[:-1], reversed(wanted[:-1]), strict=True)
    return [_between(axis, columns, rows, taps) for axis, columns, rows in ends]


def _spread(axis: Pairs, marks: Bool[Tensor, " m"]) -> Bool[Tensor, " m"]:
    """Return the vertices that are marked or have a marked partner."""
    out = marks.clone()
    if (fast := backend.fast_for(axis.one)) is None:
        for here, there in ((axis.one, axis.two), (axis.two, axis.one)):
            out[here[marks[there]]] = True
    else:
        fast.spread(*(each.numpy() for each in (axis.one, axis.two, marks, out)))
    return out


def _between(axis: Pairs, columns: Tensor, rows: Tensor, taps: Tensor) -> Bags:
    """Return the matrix of an axis from marked columns to marked rows."""
    count = len(rows)
    if (fast := backend.fast_for(axis.one)) is not None:
        starts = torch.empty(count + 1, dtype=torch.int32)
        given = (*axis, columns, rows, taps, starts)
        index, weights = fast.between(*(each.numpy() for each in given))
        return Bags(starts, torch.from_numpy(index), torch.from_numpy(weights), count)
    own = torch.arange(count, dtype=torch.int32, device=taps.device)
    row, column = torch.cat([own, axis.one, axis.two]), torch.cat([own, axis.two, axis.one])
    apart = torch.cat([torch.zeros_like(own), axis.apart, axis.apart])
    kept = (rows[row] & columns[column]).nonzero().flatten()
    kept = kept[torch.argsort(row[kept], stable=True)]
    starts = torch.cat([own.new_zeros(1), torch.bincount(row[kept], minlength=count).cumsum(0).int()])
    return Bags(starts, column[kept], taps[apart[kept].long()], count)
