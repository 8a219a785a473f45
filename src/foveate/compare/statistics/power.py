"""What a study could have found, how well its runs are paired, and when an interval gives a verdict."""

from __future__ import annotations

import numpy as np

from foveate.compare.statistics.crossed_effects import Components, half_width, unseen_share

LEAST_SEEDS = 3  # fewer give no verdict


def detectable(c: Components, level: float, chance: float = 0.8) -> float:
    """Return the least true difference whose interval excludes 0 with the given power.

    Args:
        c: The components of one comparison.
        level: Confidence of that comparison's interval.
        chance: Power: the probability of detecting it, in (0.5, 1).
    """
    half = half_width(c, level)
    if c.span is not None:
        half = max(half, c.span * unseen_share(c.items, level))
    found = half + half_width(c, 1 - 2 * (1 - chance))
    return min(found, c.span) if c.span is not None else found


def tells(ends: tuple[float, float], margin: float) -> bool:
    """Return whether an interval gives a verdict: it excludes 0, or lies within the margin."""
    low, high = ends
    return low > 0 or high < 0 or (-margin < low and high < margin)


def pairing(variant: np.ndarray, reference: np.ndarray) -> float:
    """Return the correlation of the two runs of one seed, from the mean scores (S,) of each.

    It is 2 cov / (var + var): 1 if the runs of a seed rise and fall together by the same amount, 0 if they
    are independent. (Pearson's correlation is also 1 if they move by unequal amounts, and always +-1 for two
    seeds.)
    """
    if len(variant) < 2 or np.allclose(variant, reference):
        return 1.0 if np.allclose(variant, reference) else 0.0
    total = variant.var(ddof=1) + reference.var(ddof=1)
    return float(2 * np.cov(variant, reference)[0, 1] / total) if total > 0 else 1.0
