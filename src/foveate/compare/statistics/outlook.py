"""The outlook: the chance of a verdict, the seeds or items that it takes, the chance of a gain worth having.

The predictions draw what is not known yet. The seed variance is fiducial, ms_seed / W with W ~ chi2(f) / f,
as in the interval; given it, the mean of this test set over all seeds is normal around the mean seen, and the
means of seeds to come are normal around that. The draws are the same in every call, so a study that is
replayed takes the same decisions.

The chance of a gain worth having starts from a prior by convention, in margins: most variants do next to
nothing, .6 N(0, .2 margins), and some do something, .4 N(0, 3 margins).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from scipy import stats

from foveate.compare.statistics.crossed_effects import (
    Components,
    half_width,
    unseen_share,
    with_items,
    with_seeds,
)
from foveate.compare.statistics.power import LEAST_SEEDS
from foveate.compare.statistics.spending import Look

MOST_SEEDS = 20  # more are impractical: then the answer is that seeds will not do
MOST_ITEMS = 1000  # times the number there is: beyond that, the answer is that items will not do
MORE_LIKELY_THAN_NOT = 0.6  # the most that is said where the standard error exceeds the margin
_DRAWS = 2000
_TINY = 1e-300
_SLAB, _NIL, _LARGE = 0.4, 0.2, 3.0  # share of variants that do something; sds of both parts, in margins
_RATIOS = np.concatenate(([0.0], np.logspace(-3, 3, 13)))  # of item variance to seed variance


def chance_of_verdict(c: Components, looks: Sequence[Look], margin: float) -> float:
    """Return the predictive chance of a verdict at one of the later looks, in [0, 1].

    Args:
        c: The components of the comparison so far, seed mean square moderated. Without an interval (one
            seed, one item) nothing can be predicted, and the chance is 1.
        looks: The looks; those at no more seeds than ``c`` has, or below three, do not count.
        margin: The least difference worth having, in the unit of ``c``.
    """
    later = [look for look in looks if look.seeds > c.seeds and look.seeds >= LEAST_SEEDS]
    if not later:
        return 0.0
    if not c.defined:
        return 1.0
    future = _Future(c, max(look.seeds for look in later))
    found = np.zeros(_DRAWS, dtype=bool)
    for look in later:
        found |= future.tells(look.seeds, look.level, margin)
    return float(found.mean())


def seeds_to_know(
    c: Components, level: float, margin: float, chance: float = 0.8, most: int = MOST_SEEDS
) -> int | None:
    """Return the least total number of seeds at which one more look has the chance of a verdict.

    None if ``most`` seeds do not have it: then more seeds will not do, but more items, runs that differ less,
    or a larger margin may. None, too, without an interval (one seed, one item).

    Args:
        c: The components of the comparison so far, seed mean square moderated.
        level: Confidence of the interval at that look, in (0, 1).
        margin: The least difference worth having, in the unit of ``c``.
        chance: The predictive chance asked for, in (0, 1).
        most: The most seeds in all.
    """
    low, high = max(c.seeds + 1, LEAST_SEEDS), most
    if not c.defined or low > high:
        return None
    future = _Future(c, most)

    def enough(seeds: int) -> bool:
        return bool(future.tells(seeds, level, margin).mean() >= chance)

    if not enough(high):
        return None
    while low < high:  # the chance rises with the seeds, so bisection works
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return high


def items_to_know(c: Components, level: float, margin: float, chance: float = 0.8) -> int | None:
    """Return the least total number of test items that give a verdict with the chance, on the same seeds.

    Those there are count. The mean that all will show is normal around the mean seen, as widely as the
    items to come leave open. None if ``MOST_ITEMS`` times the items do not have the chance, as
    the seeds vary too much; None, too, without an interval.

    Args:
        c: The components of the comparison so far, seed mean square moderated.
        level: Confidence of the interval at that look, in (0, 1).
        margin: The least difference worth having, in the unit of ``c``.
        chance: The predictive chance asked for, in (0, 1).
    """
    if not c.defined or c.seeds < LEAST_SEEDS:
        return None

    def enough(items: int) -> bool:
        then = with_items(c, items)
        half = half_width(then, level)
        unseen = 0.0 if c.span is None else c.span * unseen_share(items, level)
        half = max(half, unseen)
        if 2 * half <= margin:  # whatever it shows, it excludes 0 or lies within the margin
            return True
        mean = stats.norm(c.mean, max(float(np.sqrt(max(c.variance - then.variance, 0.0))), _TINY))
        beyond = mean.sf(half) + mean.cdf(-half)
        inside = mean.cdf(margin - half) - mean.cdf(half - margin)
        return bool(beyond + max(inside, 0.0) >= chance)

    low, high = c.items + 1, c.items * MOST_ITEMS
    if not enough(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return high


def chance_worth(mean: float, se: float, margin: float) -> float | None:
    """Return the probability that the true gain is at least the margin, in [0, 1].

    Under the prior of this file. Where the standard error exceeds the margin the prior decides more than the
    data, so the chance returned is at most ``MORE_LIKELY_THAN_NOT``.

    Args:
        mean: The mean gain; more is better.
        se: Its standard error, at least 0.
        margin: The least gain worth having, in the same unit. The prior is in margins, so without one (0)
            there is no answer: None.
    """
    if margin <= 0:
        return None
    spread = np.array([_NIL, _LARGE]) * margin
    variance = spread**2 + se**2
    weight = np.array([1 - _SLAB, _SLAB]) * stats.norm.pdf(mean, scale=np.sqrt(variance))
    if weight.sum() == 0:  # so far from 0 that the densities vanish: it is from the slab
        weight = np.array([0.0, 1.0])
    centre, sd = mean * spread**2 / variance, spread * se / np.sqrt(variance)
    beyond = stats.norm.sf(margin, centre, sd) if se > 0 else (centre >= margin).astype(float)
    chance = float((weight * beyond).sum() / weight.sum())
    return min(chance, MORE_LIKELY_THAN_NOT) if se > margin else chance


class _Future:
    """Draws of what a comparison will have seen at each number of seeds to come."""

    def __init__(self, c: Components, most: int) -> None:
        self.c = c
        weights, first, steps = _noise(float(c.seed_df), most - c.seeds)
        square = c.ms_seed / weights
        sd = np.sqrt(square / c.items)
        limit = c.mean + sd / np.sqrt(c.seeds) * first
        mean, apart = np.full(_DRAWS, c.mean), c.seed_df * c.ms_seed
        borrowed = c.seed_df / (c.seeds - 1) - 1  # degrees of freedom that others add with each seed
        self.means, self.squares = [], []
        for number, step in enumerate(steps, c.seeds):
            off = limit + sd * step - mean
            mean = mean + off / (number + 1)
            apart = apart + c.items * number / (number + 1) * off**2 + borrowed * square
            self.means.append(mean)
            self.squares.append(apart / ((1 + borrowed) * number))

    def tells(self, seeds: int, level: float, margin: float) -> np.ndarray:
        """Return for each draw whether an interval on that many seeds gives a verdict."""
        c, number = self.c, seeds - self.c.seeds - 1
        mean, square = self.means[number], self.squares[number]
        then = with_seeds(c, seeds)
        item = max(then.ms_item - then.ms_rest, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(square > 0, item / square, _RATIOS[-1])
        quantile = _quantile(float(then.seed_df), level)(ratio)
        half = quantile * np.sqrt((square + item) / (seeds * c.items))
        low, high = mean - half, mean + half
        if c.span is not None:
            unseen = c.span * unseen_share(c.items, level)
            low = np.minimum(low, mean - unseen * (1 + mean / c.span))
            high = np.maximum(high, mean + unseen * (1 - mean / c.span))
        return (low > 0) | (high < 0) | ((-margin < low) & (high < margin))


@lru_cache(maxsize=256)
def _quantile(seed_df: float, level: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return the half width of an interval in standard errors, by the ratio of item to seed variance."""
    many = 10**6  # items enough that their variance is as good as known
    one = Components(0.0, 1, many, 1.0, 0.0, 0.0, seed_df, None)
    halves = [half_width(replace(one, ms_item=r), level) * np.sqrt(many / (1 + r)) for r in _RATIOS]
    places = np.log(_RATIOS[1:])

    def at(ratio: np.ndarray) -> np.ndarray:
        between = np.interp(np.log(np.maximum(ratio, _RATIOS[1])), places, halves[1:])
        return np.where(ratio < _RATIOS[1], halves[0], between)

    return at


@lru_cache(maxsize=16)
def _noise(seed_df: float, seeds: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the fixed draws of chi2(seed_df)/seed_df, of the mean's error and of each seed to come."""
    rng = np.random.default_rng(0)
    uniform = (rng.permutation(_DRAWS) + 0.5) / _DRAWS
    normal = rng.standard_normal((1 + seeds, _DRAWS))
    return stats.chi2.ppf(uniform, seed_df) / seed_df, normal[0], normal[1:]
