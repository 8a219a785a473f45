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

_BLOCK = 64  # pixels whose simplices are found together
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

    The arithmetic is that of ``lattice.simplices``, operation by operation, on a block of pixels at a time:
    the innermost loops run over the block, without branches, so that the compiler makes them wide.
    """
    points, d = features.shape
    kind = features.dtype.type
    zero, one, sides = kind(0), kind(1), kind(d + 1)
    elevated = np.empty((d + 1, _BLOCK), features.dtype)
    corner, share = np.empty_like(elevated), np.empty_like(elevated)
    below, weight, last = np.empty_like(elevated[0]), np.empty_like(elevated[0]), np.empty_like(elevated[0])
    rank, excess = np.empty((d + 1, _BLOCK), np.int32), np.empty(_BLOCK, np.int32)
    base, key = np.empty(_BLOCK, np.int64), np.empty(_BLOCK, np.int64)
    total = 0
    for axis in range(d):
        total += stride[axis]
    for start in range(0, points, _BLOCK):
        size = min(_BLOCK, points - start)
        for p in range(size):
            below[p] = zero
            excess[p] = 0
            base[p] = 0
        for axis in range(d, 0, -1):
            given = elevated[axis]
            for p in range(size):
                scaled = features[start + p, axis - 1] * scale[axis - 1]
                given[p] = below[p] - kind(axis) * scaled
                below[p] = below[p] + scaled
        for p in range(size):
            elevated[0, p] = below[p]
        for axis in range(d + 1):
            given, near, above = elevated[axis], corner[axis], rank[axis]
            for p in range(size):
                nearest = np.rint(given[p] / sides)
                near[p] = nearest * sides
                excess[p] += np.int32(nearest)
                above[p] = 0
        for first in range(d):
            for second in range(first + 1, d + 1):
                above, over = rank[first], rank[second]
                for p in range(size):
                    apart = elevated[first, p] - corner[first, p]
                    behind = np.int32(apart < elevated[second, p] - corner[second, p])
                    above[p] += behind
                    over[p] += np.int32(1) - behind
        for axis in range(d + 1):
            given, near, above, part = elevated[axis], corner[axis], rank[axis], share[axis]
            for p in range(size):
                place = above[p] + excess[p]
                wrap = np.int32(place < 0) - np.int32(place > d)
                above[p] = place + np.int32(d + 1) * wrap
                near[p] += sides * kind(wrap)
                part[p] = (given[p] - near[p]) / sides
            if axis < d:
                for p in range(size):
                    base[p] += (np.int64(near[p]) - low[axis]) * stride[axis]
        for remainder in range(d + 1, -1, -1):
            for p in range(size):
                weight[p] = zero
            for axis in range(d + 1):
                above, part = rank[axis], share[axis]
                for p in range(size):
                    gained = part[p] if above[p] == d - remainder else zero
                    weight[p] += gained - (part[p] if above[p] == d + 1 - remainder else zero)
            if remainder == d + 1:
                last[:] = weight
                continue
            if remainder == 0:
                for p in range(size):
                    weight[p] += one + last[p]
            for p in range(size):
                weights[start + p, remainder] = weight[p]
                key[p] = base[p] + remainder * total
            for axis in range(d):
                above, step = rank[axis], (d + 1) * stride[axis]
                for p in range(size):
                    key[p] -= step if above[p] > d - remainder else 0
            for p in range(size):
                keys[start + p, remainder] = key[p]


@_exactly
def turned(starts, index, weights, out_starts, out_index, out_weights):  # type: ignore[no-untyped-def]
    """Write the transpose of a sparse matrix, given where its rows will start."""
    free = out_starts.copy()
    for row in range(len(starts) - 1):
        for entry in range(starts[row], starts[row + 1]):
            place = free[index[entry]]
            out_index[place] = row
            out_weights[place] = weights[entry]
            free[index[entry]] += 1


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
def pairs(ordered, order, step, reach):  # type: ignore[no-untyped-def]
    """Return all pairs of vertices that are 1, 2, ... steps apart, and how far.

    Keys in order, and keys in order some steps further: walking along both at once meets every pair. Each
    turn writes a pair, and goes on to the next place if it is one: no branch to guess.
    """
    count = len(ordered)
    room = reach * count + 1
    one, two, apart = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room, np.uint8)
    found = 0
    for times in range(1, reach + 1):
        place, other = 0, 0
        while other < count:
            gap = ordered[other] - ordered[place] - times * step
            one[found], two[found], apart[found] = order[place], order[other], times
            found, other, place = found + (gap == 0), other + (gap <= 0), place + (gap >= 0)
    return one[:found], two[:found], apart[:found]


@_exactly
def spread(one, two, marks, out):  # type: ignore[no-untyped-def]
    """Mark the partners of the marked."""
    for pair in range(len(one)):
        out[one[pair]] |= marks[two[pair]]
        out[two[pair]] |= marks[one[pair]]


@_exactly
def between(one, two, apart, columns, rows, taps, starts):  # type: ignore[no-untyped-def]
    """Return index and weights of a matrix from marked columns to marked rows; write where rows start."""
    for vertex in range(len(rows)):
        starts[vertex + 1] = np.int32(columns[vertex] and rows[vertex])
    for pair in range(len(one)):
        starts[one[pair] + 1] += np.int32(rows[one[pair]] & columns[two[pair]])
        starts[two[pair] + 1] += np.int32(rows[two[pair]] & columns[one[pair]])
    starts[0] = 0
    for vertex in range(len(rows)):
        starts[vertex + 1] += starts[vertex]
    free, total = starts.copy(), starts[-1]
    index, weights = np.empty(total + 1, np.int32), np.empty(total + 1, taps.dtype)
    for vertex in range(len(rows)):
        if columns[vertex] and rows[vertex]:
            index[free[vertex]] = vertex
            weights[free[vertex]] = taps[0]
            free[vertex] += 1
    for pair in range(len(one)):  # what is not kept goes to a place behind the others: no branch to guess
        here, there, tap = one[pair], two[pair], taps[apart[pair]]
        kept = rows[here] & columns[there]
        place = free[here] if kept else total
        index[place], weights[place] = there, tap
        free[here] += np.int32(kept)
        kept = rows[there] & columns[here]
        place = free[there] if kept else total
        index[place], weights[place] = here, tap
        free[there] += np.int32(kept)
    return index[:total], weights[:total]
