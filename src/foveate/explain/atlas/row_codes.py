"""Weights as few bytes: sixteen levels on a square-root scale, relative to the largest weight of each row.

A weight w in a row whose largest absolute value is m becomes the level round(15 sqrt(w / m)), and is shown as
m (level / 15)^2: off by at most (2·15 - 1/2) / (2·15^2) = 0.066 m, near the maximum. Where a weight is
negative, levels are signed, -7 to 7, and the greatest error is 0.138 m. Two levels share a byte.

What is printed as a number beside a map does not come from levels: the largest weight of each row (16-bit
float), its entropy, and its weight on named tokens and on padding (8 bits each) are computed before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from foveate.explain.atlas.atlas_content import AtlasLayer

LEVELS, SIGNED_LEVELS = 15, 7  # of the largest weight
WORST, SIGNED_WORST = (2 * LEVELS - 0.5) / (2 * LEVELS**2), (2 * SIGNED_LEVELS - 0.5) / (2 * SIGNED_LEVELS**2)


@dataclass(frozen=True)
class Coded:
    """A layer's weights as the page holds them.

    Args:
        signed: Whether levels are signed, stored plus 8.
        data: Levels, two a byte, the first in the high half, by head, row and entry; then for each head and
            row the largest weight (float16), entropy, weight on named tokens, weight on padding (uint8).
    """

    signed: bool
    data: bytes


def coded(layer: AtlasLayer) -> Coded:
    """Return a layer's weights in few bytes."""
    weights = np.nan_to_num(layer.weights.astype(np.float32))
    signed = bool((weights < 0).any())
    largest = np.abs(weights).max(axis=2)
    codes = levels(weights, largest, signed=signed).ravel()
    if codes.size % 2:
        codes = np.append(codes, np.uint8(0))
    named, padding = outside(layer)
    facts = [
        np.clip(largest, 0, 65504).astype("<f2").tobytes(),
        *(
            _byte(part).tobytes()
            for part in (entropies(weights), _share(weights, named), _share(weights, padding))
        ),
    ]
    return Coded(signed, b"".join([(codes[::2] << 4 | codes[1::2]).tobytes(), *facts]))


def levels(
    weights: Float[np.ndarray, "k r m"], largest: Float[np.ndarray, "k r"], *, signed: bool
) -> UInt8[np.ndarray, "k r m"]:
    """Return the level of each weight, 0 to 15; with ``signed``, 1 to 15 around 8 for zero."""
    ratio = np.abs(weights) / np.where(largest > 0, largest, 1)[..., None]
    steps = SIGNED_LEVELS if signed else LEVELS
    level = np.round(steps * np.sqrt(ratio))
    out: UInt8[np.ndarray, "k r m"] = (8 + np.sign(weights) * level if signed else level).astype(np.uint8)
    return out


def entropies(weights: Float[np.ndarray, "k r m"]) -> Float[np.ndarray, "k r"]:
    """Return the entropy of each row, as a share of that of equal weights; 0 for a row without weight."""
    total = np.abs(weights).sum(axis=2, keepdims=True)
    p = np.abs(weights) / np.where(total > 0, total, 1)
    nats = -(p * np.log(np.where(p > 0, p, 1))).sum(axis=2)
    return nats / np.log(max(2, weights.shape[2]))


def outside(layer: AtlasLayer) -> tuple[np.ndarray, np.ndarray]:
    """Return for each row which entries have a name, and which are padding: both bool (rows, entries)."""
    rows, entries = layer.weights.shape[1:]
    named = np.zeros(entries, bool)
    named[list(layer.keys.names)] = True
    if layer.keys.cells is None:
        return np.broadcast_to(named, (rows, entries)), np.zeros((rows, entries), bool)
    sets: Int[np.ndarray, " r"] = np.zeros(rows, np.int64) if layer.sets is None else layer.sets
    placed = np.any(layer.keys.cells >= 0, axis=2)[sets]
    named = np.broadcast_to(named, placed.shape) & ~placed
    return named, ~placed & ~named


def _share(weights: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    total = np.abs(weights).sum(axis=2)
    return (np.abs(weights) * chosen).sum(axis=2) / np.where(total > 0, total, 1)


def _byte(share: np.ndarray) -> np.ndarray:
    return np.round(255 * np.clip(share, 0, 1)).astype(np.uint8)
