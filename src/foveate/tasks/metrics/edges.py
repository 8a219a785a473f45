"""Where classes meet, and which edges of two maps lie near each other."""

from __future__ import annotations

import itertools
import math

import torch
from jaxtyping import Bool, Int64
from torch import Tensor, nn

NOWHERE = -1  # in a map of edges: no edge


def edges(labels: Int64[Tensor, " b *s"], known: Bool[Tensor, " b *s"]) -> Int64[Tensor, " b *s"]:
    """Return the class of every pixel that has a known neighbour of another class beside it; -1 elsewhere.

    Neighbours share a side. Neither the image's border nor that of an ignored region is an edge.
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


def near(
    places: Int64[Tensor, " b *s"], others: Int64[Tensor, " b *s"], tolerance: float
) -> Bool[Tensor, " b *s"]:
    """Return which edges have one of the same class among the others, at most ``tolerance`` pixels away.

    The offsets within the tolerance are tried from the shortest on, each on the edges not yet matched.
    """
    reach = math.floor(tolerance)
    padded = nn.functional.pad(others.short(), (reach, reach) * (others.ndim - 1), value=NOWHERE)
    strides = torch.tensor(padded.stride(), device=places.device)
    there = places != NOWHERE
    at = there.nonzero() @ strides + reach * int(strides[1:].sum())  # places in the padded map
    index, flat = torch.arange(len(at), device=at.device), padded.flatten()
    label, matched = places[there].short(), torch.zeros(len(at), dtype=torch.bool, device=at.device)
    for offset in _offsets(reach, tolerance, places.ndim - 1):
        step = sum(o * stride for o, stride in zip(offset, padded.stride()[1:], strict=True))
        hit = flat[at + step] == label
        matched[index[hit]] = True
        alone = ~hit
        index, at, label = index[alone], at[alone], label[alone]
    return torch.zeros_like(there).masked_scatter(there, matched)


def _offsets(reach: int, tolerance: float, dimensions: int) -> list[tuple[int, ...]]:
    """Return the offsets of at most that Euclidean length, the shortest first."""
    every = itertools.product(range(-reach, reach + 1), repeat=dimensions)
    lengths = {offset: sum(o * o for o in offset) for offset in every}
    return sorted((o for o, length in lengths.items() if length <= tolerance**2), key=lengths.__getitem__)
