"""Where classes meet, and which of two sets of such places lie near each other."""

from __future__ import annotations

import itertools
import math

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

NOWHERE = -1  # in a map of edges: no edge


def edges(labels: Int64[Tensor, b * s], known: Bool[Tensor, b * s]) -> Int64[Tensor, b * s]:
    """Return the class of every pixel that has a known neighbour of another class beside it; -1 elsewhere.

    Neighbours share a side. The image's border is no edge, and neither is the border of what is not known.
    """
    edge = torch.zeros_like(known)
    for axis in range(1, labels.ndim):
        size = labels.shape[axis]
        if size < 2:
            continue
        one, other = (labels.narrow(axis, start, size - 1) for start in (0, 1))
        both = known.narrow(axis, 0, size - 1) & known.narrow(axis, 1, size - 1)
        differ = (one != other) & both
        edge.narrow(axis, 0, size - 1).logical_or_(differ)
        edge.narrow(axis, 1, size - 1).logical_or_(differ)
    return labels.where(edge, NOWHERE)


def near(places: Int64[Tensor, b * s], others: Int64[Tensor, b * s], tolerance: float) -> Bool[Tensor, b * s]:
    """Return which edges have one of the same class among the others, at most ``tolerance`` pixels away.

    The offsets within the tolerance are tried from the shortest on, each on the edges that are still alone.
    """
    reach = math.floor(tolerance)
    padded = torch.nn.functional.pad(others, (reach, reach) * (others.ndim - 1), value=NOWHERE)
    strides = torch.tensor(padded.stride(), device=places.device)
    where = (places != NOWHERE).nonzero()  # n 1+d
    at = where @ strides + reach * int(strides[1:].sum())
    flat, label = padded.flatten(), places[tuple(where.T)]
    matched = torch.zeros_like(places, dtype=torch.bool)
    for offset in _offsets(reach, tolerance, places.ndim - 1):
        step = sum(o * stride for o, stride in zip(offset, padded.stride()[1:], strict=True))
        hit = flat[at + step] == label
        matched[tuple(where[hit].T)] = True
        where, at, label = where[~hit], at[~hit], label[~hit]
        if not len(where):
            break
    return matched


def _offsets(reach: int, tolerance: float, dimensions: int) -> list[tuple[int, ...]]:
    """Return the offsets of at most that Euclidean length, the shortest first."""
    every = itertools.product(range(-reach, reach + 1), repeat=dimensions)
    lengths = {offset: sum(o * o for o in offset) for offset in every}
    return sorted((o for o, length in lengths.items() if length <= tolerance**2), key=lengths.__getitem__)
