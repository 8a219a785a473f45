"""A Gaussian over many features, for images too large for all pairs of pixels.

Formula K = S^T G S: S shares each pixel's value out to the vertices of its simplex; G is the Gaussian between
        the vertices, of the variance that going there and back leaves: 1 - 1 / (4 r^2) at resolution r.
        G holds every pair of vertices within 3 standard deviations. The resolution is 1.3; 1 where there
        would be more than ``PAIRS`` of them; and where there still are, G is the paper's blur (1/2, 1, 1/2)
        along each axis, the mean of both orders of axes.
Paper   Adams, Baek, Davis 2010 for S and the blur; Wilson, Nickisch. Kernel Interpolation for Scalable
        Structured Gaussian Processes. ICML 2015, arXiv:1503.01857, section 4, for interpolating an exact G.
Shapes  values (B, L, H, W); features (B, H * W, d).
Differs the paper's blur alone is less exact: mean field with it labels 1 % of the pixels of noisy street
        scenes otherwise than with exact kernels, with pairs 0.2 %. Both operators are symmetric.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from foveate.models.crf import backend
from foveate.models.crf.lattice import Touched, neighbours, touched
from foveate.models.crf.operators import Filter, symmetric

REACH = 3.0  # standard deviations
FINE = (1.3, 1.0)  # the lattice's resolution; the first whose pairs are few enough is taken
_THERE_AND_BACK = 0.25  # variance that S and S^T add at resolution 1
PAIRS = 2**24  # of vertices: 128 MiB
_VERTICES = 2**15  # above this the pairs are not even counted
_BLOCK = 2**22  # distances that are held at once where numba is not there


def permutohedral(features: Float[Tensor, "b n d"]) -> Filter:
    """Return the filter; the lattices are built once, here, and serve every call and every gradient.

    Args:
        features: A row a pixel, divided by the kernel's standard deviations. No gradient flows to them.

    Raises:
        OptionError: The standard deviations are too small for the range of the features.
    """
    lattices = [_lattice(each) for each in features.detach()]

    def run(values: Tensor) -> Tensor:
        flat = values.detach().flatten(2).contiguous()
        out = torch.empty_like(flat)
        for lattice, given, target in zip(lattices, flat, out, strict=True):
            lattice(given, target)
        return out.view_as(values)

    return partial(symmetric, run)


class Pairs(NamedTuple):
    """A sparse symmetric matrix over vertices, row by row."""

    starts: Int[Tensor, " rows"]
    columns: Int[Tensor, " pairs"]
    weights: Float[Tensor, " pairs"]


def _lattice(features: Float[Tensor, "n d"]) -> Callable[[Tensor, Tensor], None]:
    """Return what filters the values (L, N) of one image and writes them to the second argument."""
    fast, d = backend.fast_for(features), features.shape[1]
    for fine in FINE:
        points, variance = _at(features, fine), 1 - _THERE_AND_BACK / fine**2
        pairs = _pairs(points, variance)
        if pairs is not None:
            break
    scale = (1 / variance) ** (d / 2) if pairs is not None else 1 / (1 + 2.0**-d)
    if fast is None:
        mix = partial(_product, pairs) if pairs is not None else partial(_blur, neighbours(points))
        return lambda values, out: _through(points, mix, scale, values, out)
    if pairs is not None:
        run, matrix = (
            fast.filter_by_pairs,
            [pairs.starts.numpy(), _unsigned(pairs.columns), pairs.weights.numpy()],
        )
    else:
        run, matrix = fast.filter_by_blur, [_unsigned(neighbours(points).int())]
    rest = (_unsigned(points.index), points.weights.numpy(), *matrix, features.new_tensor(scale).numpy()[()])
    return lambda values, out: fast.labelwise(run, values.numpy(), out.numpy(), *rest)


def _at(features: Float[Tensor, "n d"], fine: float) -> Touched:
    """Return the vertices of a lattice that is ``fine`` times finer, with places in features as they are."""
    points = touched(features * fine)
    return dataclasses.replace(points, places=points.places / fine, along=points.along / fine)


def _unsigned(numbers: Int[Tensor, "*any"]) -> np.ndarray:
    return numbers.numpy().view(np.uint32)


def _pairs(points: Touched, variance: float) -> Pairs | None:
    """Return the Gaussian between the vertices, or None if there are too many pairs."""
    places = points.places
    if len(places) > _VERTICES:
        return None
    fast = backend.fast_for(places)
    if fast is None:
        return _pairs_in_blocks(places, variance)
    counts = torch.zeros(len(places), dtype=torch.int64)
    given = (places.T.contiguous().numpy(), points.along.numpy(), REACH)
    fast.count_pairs(*given, counts.numpy())
    starts = _starts(counts)
    if starts[-1] > PAIRS:
        return None
    columns = torch.empty(int(starts[-1]), dtype=torch.int32)
    weights = torch.empty(int(starts[-1]), dtype=places.dtype)
    fast.write_pairs(*given, variance, starts[:-1].clone().numpy(), columns.numpy(), weights.numpy())
    return Pairs(starts, columns, weights)


def _pairs_in_blocks(places: Float[Tensor, "m d"], variance: float) -> Pairs | None:
    rows, columns, weights, count = [], [], [], 0
    block = max(1, _BLOCK // len(places))
    for start in range(0, len(places), block):
        squared = places.new_zeros(len(places[start : start + block]), len(places))
        for coordinate in places.T:
            squared += (coordinate[start : start + block, None] - coordinate).square()
        row, column = torch.nonzero(squared <= REACH**2, as_tuple=True)
        rows.append(row + start)
        columns.append(column)
        weights.append(torch.exp(-squared[row, column] / (2 * variance)))
        count += len(row)
        if count > PAIRS:
            return None
    counts = torch.bincount(torch.cat(rows), minlength=len(places))
    return Pairs(_starts(counts), torch.cat(columns), torch.cat(weights))


def _through(points: Touched, mix: Filter, scale: float, values: Tensor, out: Tensor) -> None:
    """Filter (L, N) in plain PyTorch: onto the vertices, between them, and back."""
    index = points.index.long()
    vertices = values.new_zeros(len(points.places), len(values))
    for vertex, share in zip(index.T, points.weights.T, strict=True):
        vertices.index_add_(0, vertex, share[:, None] * values.T)
    vertices = mix(vertices)
    out.zero_()
    for vertex, share in zip(index.T, points.weights.T, strict=True):
        out += scale * share * vertices[vertex].T


def _product(pairs: Pairs, vertices: Float[Tensor, "m l"]) -> Float[Tensor, "m l"]:
    count = len(vertices)
    rows = torch.repeat_interleave(pairs.starts.diff())
    matrix = torch.sparse_coo_tensor(
        torch.stack([rows, pairs.columns.long()]),
        pairs.weights,
        (count, count),
        is_coalesced=True,
        check_invariants=False,
    )
    return torch.sparse.mm(matrix, vertices)


def _blur(near: Int[Tensor, "corners m 2"], vertices: Float[Tensor, "m l"]) -> Float[Tensor, "m l"]:
    """Return the mean of the blurs in both orders of axes."""
    total = torch.zeros_like(vertices)
    for order in (near, near.flip(0)):
        blurred = torch.cat([vertices, vertices.new_zeros(1, vertices.shape[1])])  # the last is an absent one
        for left, right in (axis.T for axis in order):
            blurred[:-1] = blurred[:-1] + (blurred[left] + blurred[right]) / 2
        total += blurred[:-1] / 2
    return total


def _starts(counts: Int[Tensor, " m"]) -> Int[Tensor, " rows"]:
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])
