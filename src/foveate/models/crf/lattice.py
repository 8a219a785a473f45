"""The permutohedral lattice: which simplex a point lies in, and which vertices the points of an image touch.

Points of d features are mapped into the plane x_0 + ... + x_d = 0 of d + 1 coordinates, scaled so that going
to the vertices of the simplex around a point and back spreads a value by a variance of 1/4 in each feature.

Paper   Adams, Baek, Davis. Fast High-Dimensional Filtering Using the Permutohedral Lattice. Eurographics
        2010. Sections 3.1 to 3.3.
Shapes  features (N, d), divided by their standard deviations -> index, weights (N, d + 1); keys (M,).
Differs a vertex is one whole number, its coordinates being the digits: a neighbour is a constant away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from foveate.errors import OptionError
from foveate.models.crf import backend

_ROOM = 6  # simplices between the outermost point and the end of a digit: no ring and blur reach so far
_LARGEST = 2**62


@dataclass(frozen=True)
class Touched:
    """The vertices that the points of one image touch.

    Attributes:
        index: The vertices of each point's simplex.
        weights: The shares that they have in the point; they sum to 1.
        keys: The whole number of each vertex.
        steps: What is added to a key to go one step along each of the d + 1 axes.
    """

    index: Int[Tensor, "n corners"]
    weights: Float[Tensor, "n corners"]
    keys: Int[Tensor, " m"]
    steps: Int[Tensor, " corners"]


class Pairs(NamedTuple):
    """Pairs of vertices on lines along one axis, and how many steps they are apart; each pair once."""

    one: Int[Tensor, " pairs"]
    two: Int[Tensor, " pairs"]
    apart: UInt8[Tensor, " pairs"]


class Digits(NamedTuple):
    """How the first d coordinates of a vertex become one whole number."""

    low: Int[Tensor, " d"]
    stride: Int[Tensor, " d"]


def touched(features: Float[Tensor, "n d"]) -> Touched:
    """Return the vertices that points touch.

    Args:
        features: One row per pixel, divided by the standard deviations of the kernel.

    Raises:
        OptionError: The standard deviations are too small for the range of the features.
    """
    digits = _digits(features)
    fast = backend.fast_for(features)
    keys, weights = (simplices if fast is None else _fast_simplices)(features, digits)
    if fast is None:
        found, index = torch.unique(keys, return_inverse=True)
        index = index.int()
    else:
        index = torch.empty(keys.shape, dtype=torch.int32)
        found = torch.from_numpy(fast.number(keys.numpy(), index.numpy()))
    return Touched(index, weights, found, _steps(digits))


def simplices(features: Float[Tensor, "n d"], digits: Digits) -> tuple[Tensor, Tensor]:
    """Return the keys (N, d + 1) of each point's simplex and its barycentric weights there."""
    d = features.shape[1]
    scale, sides = _scale(features), torch.tensor(d + 1, dtype=features.dtype, device=features.device)
    elevated = features.new_empty(d + 1, len(features))
    below = features.new_zeros(len(features))
    for axis in range(d, 0, -1):
        scaled = features[:, axis - 1] * scale[axis - 1]
        elevated[axis] = below - axis * scaled
        below = below + scaled
    elevated[0] = below
    nearest = torch.round(elevated / sides)
    corner = nearest * sides
    apart = elevated - corner
    rank = torch.zeros_like(elevated, dtype=torch.int64)
    for first in range(d):
        for second in range(first + 1, d + 1):
            behind = (apart[first] < apart[second]).long()
            rank[first] += behind
            rank[second] += 1 - behind
    rank += nearest.sum(0).long()
    wrap = (rank < 0).long() - (rank > d).long()
    rank += (d + 1) * wrap
    corner += sides * wrap
    share = (elevated - corner) / sides
    weights = features.new_zeros(d + 2, len(features))
    for axis in range(d + 1):
        weights.scatter_add_(0, (d - rank[axis])[None], share[axis][None])
        weights.scatter_add_(0, (d + 1 - rank[axis])[None], -share[axis][None])
    weights[0] += 1 + weights[d + 1]
    low, stride = digits
    base = ((corner[:d].long() - low[:, None]) * stride[:, None]).sum(0)
    keys = [
        base + r * stride.sum() - (d + 1) * ((rank[:d] > d - r) * stride[:, None]).sum(0)
        for r in range(d + 1)
    ]
    return torch.stack(keys, dim=1), weights[: d + 1].T.contiguous()


def ring(points: Touched, least: int) -> Int[Tensor, " grown"]:
    """Return the keys, then those of vertices that lie one step from at least ``least`` of them."""
    if (fast := backend.fast_for(points.weights)) is not None:
        return torch.from_numpy(fast.ring(points.keys.numpy(), points.steps.numpy(), least))
    both = torch.cat([points.steps, -points.steps])
    near, times = torch.unique(points.keys[:, None] + both, return_counts=True)
    fresh = (times >= least) & ~torch.isin(near, points.keys)
    return torch.cat([points.keys, near[fresh]])


def pairs(points: Touched, keys: Int[Tensor, " m"], reach: int) -> list[Pairs]:
    """Return the pairs of vertices up to ``reach`` steps apart, along each axis.

    Args:
        points: Give the length of the steps.
        keys: Those of the vertices.
        reach: How many steps.
    """
    ordered, order = torch.sort(keys)
    find = _pairs if backend.fast_for(points.weights) is None else _fast_pairs
    return [find(ordered, order, step, reach) for step in points.steps.abs().tolist()]


def _pairs(ordered: Tensor, order: Tensor, step: int, reach: int) -> Pairs:
    found = []
    for apart in range(1, reach + 1):
        wanted = ordered + apart * step
        slot = torch.searchsorted(ordered, wanted).clamp(max=len(ordered) - 1)
        met = ordered[slot] == wanted
        one = order[met].int()
        found.append(Pairs(one, order[slot[met]].int(), torch.full_like(one, apart, dtype=torch.uint8)))
    return Pairs(*(torch.cat(each) for each in zip(*found, strict=True)))


def _fast_pairs(ordered: Tensor, order: Tensor, step: int, reach: int) -> Pairs:
    from foveate.models.crf import fast_lattice as fast

    return Pairs(*map(torch.from_numpy, fast.pairs(ordered.numpy(), order.int().numpy(), step, reach)))


def _fast_simplices(features: Tensor, digits: Digits) -> tuple[Tensor, Tensor]:
    from foveate.models.crf import fast_lattice as fast

    shape = len(features), features.shape[1] + 1
    keys, weights = torch.empty(shape, dtype=torch.int64), torch.empty(shape, dtype=features.dtype)
    given = (features.contiguous(), _scale(features), keys, weights, *digits)
    fast.simplices(*(each.numpy() for each in given))
    return keys, weights


def _scale(features: Tensor) -> Tensor:
    """Return the length of each feature in the plane."""
    d = features.shape[1]
    lengths = [math.sqrt(2 / 3) * (d + 1) / math.sqrt((axis + 1) * (axis + 2)) for axis in range(d)]
    return features.new_tensor(lengths)


def _elevation(features: Tensor) -> Float[Tensor, "corners d"]:
    """Return the matrix that maps features into the plane."""
    d = features.shape[1]
    matrix = torch.triu(torch.ones(d + 1, d))
    matrix[1:] -= torch.diag(torch.arange(1, d + 1))
    return matrix.to(features) * _scale(features)


def _digits(features: Tensor) -> Digits:
    d = features.shape[1]
    reach = _elevation(features)[:d, None] * torch.stack([features.amin(0), features.amax(0)])
    room = _ROOM * (d + 1)
    low = reach.amin(1).sum(1).floor().double() - room
    spans = (reach.amax(1).sum(1).ceil().double() + room - low + 1).tolist()
    sizes = [int(min(span, _LARGEST)) for span in spans]
    if math.prod(sizes) >= _LARGEST:
        raise OptionError(
            f"the features span {', '.join(f'{span:.3g}' for span in spans)} steps of the lattice, more than "
            "can be numbered. Give the kernel larger standard deviations."
        )
    strides = [math.prod(sizes[axis + 1 :]) for axis in range(d)]
    return Digits(low.long(), torch.tensor(strides, device=features.device))


def _steps(digits: Digits) -> Int[Tensor, " corners"]:
    """Return how keys change along each axis: down by 1 in all coordinates, but up by d in the axis' own."""
    d = len(digits.stride)
    own = torch.cat([digits.stride, digits.stride.new_zeros(1)])
    return (d + 1) * own - digits.stride.sum()
