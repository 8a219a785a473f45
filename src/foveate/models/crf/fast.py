# mypy: disallow-untyped-decorators=False
"""The filters' inner loops for CPUs, compiled by numba; everything here has a slower twin in plain PyTorch.

The labels of a pixel lie side by side on the vertices, filled up to a multiple of ``_GRAIN``, so that the
innermost loop fills vector registers; its length is not a constant, or the compiler would unroll it into
single numbers. Indices are unsigned, or it would look for negative ones. The loops release the interpreter's
lock; ``labelwise`` shares the labels out among PyTorch's threads. Compiled code is kept on disk: only the
first call on a machine waits for the compiler.

Shapes  values (L, N) float32 or float64; a simplex per pixel: index and weight (N, D).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numba import njit

_GRAIN = 4  # labels
_MOST = 32  # labels that go through at once
_TILE = 64  # pixels that are transposed at once: they stay in the first-level cache
_SHUFFLE = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio
_exactly: Callable[..., Any] = njit(cache=True, nogil=True, error_model="numpy")
# A product and a sum may become one instruction.
_compiled: Callable[..., Any] = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})


def labelwise(run: Callable[..., None], values: np.ndarray, out: np.ndarray, *rest: Any) -> None:
    """Call ``run(values, out, *rest)`` on parts of the labels, on as many threads as PyTorch uses."""
    groups = -(-len(values) // _GRAIN)
    threads = min(torch.get_num_threads(), groups)
    if threads == 1:
        run(values, out, *rest)
        return
    cuts = [_GRAIN * (groups * part // threads) for part in range(threads + 1)]
    parts = [slice(first, last) for first, last in itertools.pairwise(cuts)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: run(values[part], out[part], *rest), parts))


@_exactly
def _slot(key, mask):  # type: ignore[no-untyped-def]
    mixed = np.uint64(key) * _SHUFFLE
    return np.int64((mixed ^ (mixed >> np.uint64(32))) & np.uint64(mask))


@_exactly
def number(keys, index):  # type: ignore[no-untyped-def]
    """Number the different keys (N, D) in the order they come; write each one's number to ``index``."""
    points, corners = keys.shape
    size = 1 << 14
    table = np.full(size, -1, np.int32)
    found = np.empty(size // 2, np.int64)
    count = 0
    for point in range(points):
        for corner in range(corners):
            key = keys[point, corner]
            if point > 0 and keys[point - 1, corner] == key:  # neighbours mostly share their simplex
                index[point, corner] = index[point - 1, corner]
                continue
            slot = _slot(key, size - 1)
            while table[slot] >= 0 and found[table[slot]] != key:
                slot = (slot + 1) & (size - 1)
            if table[slot] < 0:
                table[slot] = count
                found[count] = key
                count += 1
            index[point, corner] = table[slot]
            if 2 * count >= size:
                size *= 2
                larger = np.empty(size // 2, np.int64)
                larger[:count] = found[:count]
                found = larger
                table = np.full(size, -1, np.int32)
                for entry in range(count):
                    slot = _slot(found[entry], size - 1)
                    while table[slot] >= 0:
                        slot = (slot + 1) & (size - 1)
                    table[slot] = entry
    return found[:count].copy()


@_exactly
def simplices(features, scale, keys, weights, low, stride):  # type: ignore[no-untyped-def]
    """Write keys and barycentric weights (N, D) of the simplex of each of the features (N, D - 1).

    The arithmetic is that of ``lattice.simplices``, operation by operation.
    """
    points, d = features.shape
    one = features.dtype.type(1)
    sides = features.dtype.type(d + 1)
    elevated = np.empty(d + 1, features.dtype)
    corner = np.empty(d + 1, features.dtype)
    rank = np.empty(d + 1, np.int64)
    weight = np.empty(d + 2, features.dtype)
    total = 0
    for axis in range(d):
        total += stride[axis]
    for point in range(points):
        below = one - one
        for axis in range(d, 0, -1):
            scaled = features[point, axis - 1] * scale[axis - 1]
            elevated[axis] = below - features.dtype.type(axis) * scaled
            below = below + scaled
        elevated[0] = below
        excess = np.int64(0)
        for axis in range(d + 1):
            nearest = np.rint(elevated[axis] / sides)
            corner[axis] = nearest * sides
            excess += np.int64(nearest)
            rank[axis] = 0
        for first in range(d):
            for second in range(first + 1, d + 1):
                if elevated[first] - corner[first] < elevated[second] - corner[second]:
                    rank[first] += 1
                else:
                    rank[second] += 1
        for axis in range(d + 2):
            weight[axis] = 0
        base = np.int64(0)
        for axis in range(d + 1):
            rank[axis] += excess
            if rank[axis] < 0:
                rank[axis] += d + 1
                corner[axis] += sides
            elif rank[axis] > d:
                rank[axis] -= d + 1
                corner[axis] -= sides
            share = (elevated[axis] - corner[axis]) / sides
            weight[d - rank[axis]] += share
            weight[d + 1 - rank[axis]] -= share
            if axis < d:
                base += (np.int64(corner[axis]) - low[axis]) * stride[axis]
        weight[0] += one + weight[d + 1]
        for remainder in range(d + 1):
            key = base + remainder * total
            for axis in range(d):
                if rank[axis] > d - remainder:
                    key -= (d + 1) * stride[axis]
            keys[point, remainder] = key
            weights[point, remainder] = weight[remainder]


@_exactly
def count_pairs(places, along, reach, counts):  # type: ignore[no-untyped-def]
    """Count each place's partners within ``reach``; places (d, M), of which ``along`` (M) grows no faster."""
    squared = np.empty(len(along), places.dtype)
    for first in range(len(along)):
        counts[first] += 1
        size = _distances(places, along, reach, first, squared)
        for ahead in range(size):
            if squared[ahead] <= reach * reach:
                counts[first] += 1
                counts[first + 1 + ahead] += 1


@_exactly
def write_pairs(places, along, reach, variance, free, columns, weights):  # type: ignore[no-untyped-def]
    """Write each place's partners and their Gaussian weights; ``free`` says where each row starts."""
    squared = np.empty(len(along), places.dtype)
    for first in range(len(along)):
        columns[free[first]] = first
        weights[free[first]] = 1
        free[first] += 1
        size = _distances(places, along, reach, first, squared)
        for ahead in range(size):
            if squared[ahead] <= reach * reach:
                second = first + 1 + ahead
                weight = np.exp(-squared[ahead] / places.dtype.type(2 * variance))
                columns[free[first]], columns[free[second]] = second, first
                weights[free[first]], weights[free[second]] = weight, weight
                free[first] += 1
                free[second] += 1


@_exactly
def _distances(places, along, reach, first, squared):  # type: ignore[no-untyped-def]
    """Write the squared distances to the places after the first that may be in reach; return how many."""
    size = np.searchsorted(along, along[first] + reach, side="right") - first - 1
    near = squared[:size]
    for axis in range(len(places)):
        line, own = places[axis, first + 1 : first + 1 + size], places[axis, first]
        for ahead in range(size):
            apart = line[ahead] - own
            near[ahead] = apart * apart if axis == 0 else near[ahead] + apart * apart
    return size


@_compiled
def width(labels):  # type: ignore[no-untyped-def]
    """Return how many labels go through at once."""
    return min(_MOST, _GRAIN * ((labels + _GRAIN - 1) // _GRAIN))


@_compiled
def splat(values, index, weight, vertices):  # type: ignore[no-untyped-def]
    """Add labels (l, N) onto the vertices (M + 1, width)."""
    labels, points = values.shape
    wide = vertices.shape[1]
    tile = np.zeros((_TILE, wide), values.dtype)
    vertices[:] = 0
    for start in range(0, points, _TILE):
        size = min(_TILE, points - start)
        for label in range(labels):
            for point in range(size):
                tile[point, label] = values[label, start + point]
        for point in range(size):
            for corner in range(index.shape[1]):
                share, vertex = weight[start + point, corner], index[start + point, corner]
                for label in range(wide):
                    vertices[vertex, label] += share * tile[point, label]


@_compiled
def slice_(vertices, index, weight, scale, out):  # type: ignore[no-untyped-def]
    """Read the pixels' values (l, N) off the vertices, times ``scale``."""
    labels, points = out.shape
    wide = vertices.shape[1]
    tile = np.empty((_TILE, wide), out.dtype)
    for start in range(0, points, _TILE):
        size = min(_TILE, points - start)
        for point in range(size):
            for label in range(wide):
                tile[point, label] = 0
            for corner in range(index.shape[1]):
                share, vertex = weight[start + point, corner], index[start + point, corner]
                for label in range(wide):
                    tile[point, label] += share * vertices[vertex, label]
        for label in range(labels):
            for point in range(size):
                out[label, start + point] = scale * tile[point, label]


@_compiled
def filter_by_pairs(values, out, index, weight, starts, columns, strengths, scale):  # type: ignore[no-untyped-def]
    """Filter (L, N): onto the vertices, a sparse product over pairs of vertices, and back."""
    count, wide = len(starts) - 1, width(len(values))
    vertices = np.empty((count + 1, wide), values.dtype)
    mixed = np.empty((count + 1, wide), values.dtype)
    for first in range(0, len(values), wide):
        last = min(first + wide, len(values))
        splat(values[first:last], index, weight, vertices)
        for row in range(count):
            for label in range(wide):
                mixed[row, label] = 0
            for entry in range(starts[row], starts[row + 1]):
                strength, column = strengths[entry], columns[entry]
                for label in range(wide):
                    mixed[row, label] += strength * vertices[column, label]
        slice_(mixed, index, weight, scale, out[first:last])


@_compiled
def filter_by_blur(values, out, index, weight, neighbours, scale):  # type: ignore[no-untyped-def]
    """Filter (L, N): onto the vertices, the mean of the blurs in both orders of axes, and back."""
    axes, count = neighbours.shape[:2]
    wide = width(len(values))
    splatted = np.zeros((count + 1, wide), values.dtype)  # the last one stands for absent neighbours
    blurred = np.zeros((2, count + 1, wide), values.dtype)
    mixed = np.zeros((count + 1, wide), values.dtype)
    half = values.dtype.type(0.5)
    for first in range(0, len(values), wide):
        last = min(first + wide, len(values))
        splat(values[first:last], index, weight, splatted)
        for order in range(2):
            source, target = splatted, blurred[0]
            for step in range(axes):
                blur(source, target, neighbours[step if order == 0 else axes - 1 - step])
                source, target = target, blurred[(step + 1) % 2]
            for row in range(count):
                for label in range(wide):
                    total = half * source[row, label]
                    mixed[row, label] = total if order == 0 else mixed[row, label] + total
        slice_(mixed, index, weight, scale, out[first:last])


@_compiled
def blur(source, target, neighbours):  # type: ignore[no-untyped-def]
    """Add half of both neighbours along one axis to each vertex."""
    half = source.dtype.type(0.5)
    for row in range(len(neighbours)):
        left, right = neighbours[row, 0], neighbours[row, 1]
        for label in range(source.shape[1]):
            beside = source[left, label] + source[right, label]
            target[row, label] = source[row, label] + half * beside


@_compiled
def convolve(values, out, vertical, horizontal):  # type: ignore[no-untyped-def]
    """Convolve planes (L, H, W) with symmetric taps, given from the middle outwards; zero outside."""
    labels, height, width = values.shape
    reach = len(horizontal) - 1
    row = np.zeros(width + 2 * reach, values.dtype)
    middle = row[reach : reach + width]
    for label in range(labels):
        plane = values[label]
        for y in range(height):
            source = plane[y]
            for x in range(width):
                middle[x] = vertical[0] * source[x]
            for tap in range(1, len(vertical)):
                above, below = y - tap, y + tap
                share = vertical[tap]
                if above >= 0 and below < height:
                    one, other = plane[above], plane[below]
                    for x in range(width):
                        middle[x] += share * (one[x] + other[x])
                elif above >= 0 or below < height:
                    one = plane[above if above >= 0 else below]
                    for x in range(width):
                        middle[x] += share * one[x]
            target = out[label, y]
            for x in range(width):
                target[x] = horizontal[0] * middle[x]
            for tap in range(1, reach + 1):
                share = horizontal[tap]
                one, other = row[reach - tap : reach - tap + width], row[reach + tap : reach + tap + width]
                for x in range(width):
                    target[x] += share * (one[x] + other[x])
