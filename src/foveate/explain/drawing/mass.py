"""How a map spreads its mass: where most of it lies, and the same in words for those who do not see it.

Shapes  map float (H, W). Mass is the absolute value; NaN has none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

NAMED = 3  # places that a text names
_FINE, _COARSE = 28, 14  # rows or columns: above which a text speaks of fewer, and about how many


def mass_levels(values: Float[np.ndarray, "*shape"], shares: Sequence[float] = (0.5, 0.9)) -> list[float]:
    """Return for each share the value such that the places of at least this value hold that share of mass.

    The set of places is the smallest one: it takes the places of most mass first. NaN for a map without mass.

    Example:
        >>> mass_levels(np.array([[8.0, 1.0], [1.0, 0.0]]), (0.5, 0.9))
        [8.0, 1.0]
    """
    mass = np.sort(np.nan_to_num(np.abs(np.asarray(values, np.float64))).ravel())[::-1]
    if not mass.sum() > 0:
        return [float("nan")] * len(shares)
    held = mass.cumsum() / mass.sum()
    return [float(mass[np.searchsorted(held, share - 1e-12)]) for share in shares]


def entropy(values: Float[np.ndarray, "*shape"]) -> float:
    """Return the entropy of a map as a share of that of an even map: 0 one place, 1 everywhere alike.

    NaN for a map without mass.
    """
    mass = np.nan_to_num(np.abs(np.asarray(values, np.float64))).ravel()
    if not mass.sum() > 0:
        return float("nan")
    if mass.size == 1:
        return 0.0
    p = mass[mass > 0] / mass.sum()
    return float(-(p * np.log(p)).sum() / np.log(mass.size)) + 0.0


def percent(share: float) -> str:
    """Write a share in percent, with two figures, or none behind the point from 10 % on.

    Example:
        >>> percent(0.1249), percent(0.0123), percent(1.0)
        ('12 %', '1.2 %', '100 %')
    """
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.2g} %"


def map_in_words(values: Float[np.ndarray, "h w"]) -> str:
    """Say where a map has most of its mass, and how far it spreads.

    A map of more than 28 rows or columns is described on a grid of about 14.

    Example:
        >>> map_in_words(np.array([[8.0, 1.0], [1.0, 0.0]]))
        'Most at row 1, column 1 (80 %), row 1, column 2 (10 %), row 2, column 1 (10 %) of 2 rows and 2 \
columns; half of it on 25.0 % of the area; entropy 0.46 of an even map.'
    """
    mass = _pooled(np.nan_to_num(np.abs(np.asarray(values, np.float64))))
    if not mass.sum() > 0:
        return "The map is zero everywhere."
    rows, columns = mass.shape
    best = np.argsort(-mass, axis=None, kind="stable")[:NAMED]
    places = ", ".join(
        f"row {place // columns + 1}, column {place % columns + 1} "
        f"({percent(float(mass.flat[place] / mass.sum()))})"
        for place in best
        if mass.flat[place] > 0
    )
    half = float((mass >= mass_levels(mass, (0.5,))[0]).mean())
    return (
        f"Most at {places} of {rows} rows and {columns} columns; half of it on {100 * half:.1f} % of the "
        f"area; entropy {entropy(mass):.2f} of an even map."
    )


def _pooled(mass: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "rows columns"]:
    """Sum the mass of a fine map in blocks; the last block of a side may be smaller."""
    for axis, size in enumerate(mass.shape):
        if size > _FINE:
            mass = np.add.reduceat(mass, np.arange(0, size, -(-size // _COARSE)), axis=axis)
    return mass
