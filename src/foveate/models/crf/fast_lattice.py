# mypy: disallow-untyped-decorators=False
"""The lattice's set-up for CPUs, compiled by numba; everything here has a slower twin in plain PyTorch.

A table holds the number of each key at a place that its bits give, or at the first free place after it.
Compiled code is kept on disk: only the first call on a machine waits for the compiler.

Shapes  a simplex per pixel: index and weight (N, D).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

_SHUFFLE = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio
_exactly: Callable[..., Any] = njit(cache=True, nogil=True, error_model="numpy")


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
def by_vertex(index, weights, starts, points, shares):  # type: ignore[no-untyped-def]
    """Sort a simplex per pixel by vertex; ``starts`` says where each vertex' pixels begin."""
    free = starts.copy()
    for point in range(index.shape[0]):
        for corner in range(index.shape[1]):
            vertex = index[point, corner]
            points[free[vertex]] = point
            shares[free[vertex]] = weights[point, corner]
            free[vertex] += 1


@_exactly
def _entered(keys, entries):  # type: ignore[no-untyped-def]
    """Return a table that holds the keys, at most half full with ``entries`` of them."""
    size = 16
    while size < 2 * entries:
        size *= 2
    table = np.full(size, -1, np.int32)
    for entry in range(len(keys)):
        slot = _slot(keys[entry], size - 1)
        while table[slot] >= 0:
            slot = (slot + 1) & (size - 1)
        table[slot] = entry
    return table


@_exactly
def _place(table, keys, key):  # type: ignore[no-untyped-def]
    """Return the place of a key, or the free one where it would be."""
    mask = len(table) - 1
    slot = _slot(key, mask)
    while table[slot] >= 0 and keys[table[slot]] != key:
        slot = (slot + 1) & mask
    return slot


@_exactly
def ring(keys, steps, least):  # type: ignore[no-untyped-def]
    """Return the keys, and those that at least ``least`` of them are one step away from."""
    count, most = len(keys), len(keys) * (1 + 2 * len(steps))
    table = _entered(keys, most)
    found, times = np.empty(most, np.int64), np.zeros(most, np.int32)
    found[:count] = keys
    for vertex in range(len(keys)):
        for axis in range(len(steps)):
            for key in (keys[vertex] + steps[axis], keys[vertex] - steps[axis]):
                slot = _place(table, found, key)
                if table[slot] < 0:
                    table[slot] = count
                    found[count] = key
                    count += 1
                times[table[slot]] += 1
    kept = len(keys)
    for entry in range(kept, count):
        if times[entry] >= least:
            found[kept] = found[entry]
            kept += 1
    return found[:kept].copy()


@_exactly
def lines(keys, steps, index):  # type: ignore[no-untyped-def]
    """Write who lies 1, 2, ... steps ahead of and behind each vertex (D, M, 1 + 2 reach), itself first."""
    table = _entered(keys, len(keys))
    for axis in range(len(steps)):
        for vertex in range(len(keys)):
            index[axis, vertex, 0] = vertex
            for apart in range(1, index.shape[2] // 2 + 1):
                other = table[_place(table, keys, keys[vertex] + apart * steps[axis])]
                if other >= 0:
                    index[axis, vertex, 2 * apart - 1] = other
                    index[axis, other, 2 * apart] = vertex
