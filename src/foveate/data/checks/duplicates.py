"""The same picture twice: exactly, or nearly (encoded, resized or brightened again), across splits.

Near duplicates are found in two steps. Two images whose 64-bit difference hashes differ in at most 7 bits
agree in at least one of 8 bytes, so only images that share a byte are compared; what is left is confirmed
on thumbnails.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8, UInt64

from foveate.data.checks.probe_files import Probe

BITS = 7  # of 64 that may differ; the byte rule above is exact up to 7
ALIKE = 0.95  # correlation of two thumbnails that confirms a candidate
_FEW = 100  # images; with many more than this, their mean is what all of them share
_FLAT = 4.0  # grey levels: an image with less spread has nothing to recognise
_BLOCK = 2_000_000  # hash pairs compared at once
_BYTES = 8

Pairs = Int64[np.ndarray, "p 2"]


def exact_groups(probes: Sequence[Probe]) -> list[list[int]]:
    """Return the numbers of probes that have equal contents, for contents that occur more than once."""
    groups: dict[str, list[int]] = {}
    for number, probe in enumerate(probes):
        if probe.digest:
            groups.setdefault(probe.digest, []).append(number)
    return [group for group in groups.values() if len(group) > 1]


def near_pairs(probes: Sequence[Probe], parts: Int64[np.ndarray, " n"]) -> Pairs:
    """Return pairs of probes, of different parts, that look alike but are not byte for byte the same.

    Args:
        probes: One per image.
        parts: The number of the split that each is in.
    """
    seen = np.array([n for n, probe in enumerate(probes) if probe.thumb is not None], dtype=np.int64)
    if not len(seen):
        return np.empty((0, 2), dtype=np.int64)
    thumbs = np.stack([probes[number].thumb for number in seen]).reshape(len(seen), -1).astype(np.float32)
    telling = thumbs.std(axis=1) >= _FLAT
    seen, thumbs = seen[telling], thumbs[telling]
    looks = np.array([probes[number].look for number in seen], dtype=np.uint64)
    pairs = _candidates(looks, parts[seen])
    if not len(pairs):
        return pairs
    pairs = pairs[_alike(thumbs, pairs)]
    found = seen[pairs]
    different = [probes[left].digest != probes[right].digest for left, right in found.tolist()]
    return found[np.array(different, dtype=bool)]


def _candidates(looks: UInt64[np.ndarray, " n"], parts: Int64[np.ndarray, " n"]) -> Pairs:
    bytes_ = looks.view(np.uint8).reshape(-1, _BYTES)
    found = [np.empty((0, 2), dtype=np.int64)]
    for column in bytes_.T:
        for left, right in _buckets(column, parts):
            found.extend(_close(looks, left, right))
    return np.unique(np.concatenate(found), axis=0)


def _buckets(
    column: UInt8[np.ndarray, " n"], parts: Int64[np.ndarray, " n"]
) -> Iterator[tuple[Int64[np.ndarray, " a"], Int64[np.ndarray, " b"]]]:
    """Yield members of two different parts that agree in a byte."""
    order = np.argsort(column, kind="stable")
    for bucket in np.split(order, np.flatnonzero(np.diff(column[order])) + 1):
        inside = parts[bucket]
        present = np.unique(inside)
        for place, part in enumerate(present):
            for other in present[place + 1 :]:
                yield bucket[inside == part], bucket[inside == other]


def _close(
    looks: UInt64[np.ndarray, " n"], left: Int64[np.ndarray, " a"], right: Int64[np.ndarray, " b"]
) -> Iterator[Pairs]:
    """Yield the pairs whose hashes differ in few bits, in blocks that fit the memory."""
    rows = max(1, _BLOCK // len(right))
    for first in range(0, len(left), rows):
        some = left[first : first + rows]
        differing = _ones(looks[some][:, None] ^ looks[right][None])
        a, b = np.nonzero(differing <= BITS)
        yield np.stack([some[a], right[b]], axis=1)


def _ones(words: UInt64[np.ndarray, "a b"]) -> UInt8[np.ndarray, "a b"]:
    """Count the bits set, as numpy 2 does in ``bitwise_count``."""
    if hasattr(np, "bitwise_count"):
        return np.bitwise_count(words)
    table = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.uint8)
    return table[words.view(np.uint8).reshape(*words.shape, _BYTES)].sum(axis=2, dtype=np.uint8)


def _alike(thumbs: Float32[np.ndarray, "n t"], pairs: Pairs) -> Bool[np.ndarray, " p"]:
    """Return which pairs correlate after the average image is subtracted.

    Without that, any two chest X-rays would look alike.
    """
    unit = _unit(thumbs - thumbs.mean(axis=1, keepdims=True))
    unit = _unit(unit - unit.mean(axis=0) * len(unit) / (len(unit) + _FEW))
    out = np.empty(len(pairs), dtype=bool)
    rows = _BLOCK // unit.shape[1]
    for first in range(0, len(pairs), rows):
        left, right = pairs[first : first + rows].T
        out[first : first + rows] = np.einsum("pt,pt->p", unit[left], unit[right]) >= ALIKE
    return out


def _unit(rows: Float32[np.ndarray, "n t"]) -> Float32[np.ndarray, "n t"]:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
