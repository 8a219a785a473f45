"""What is known about one comparison of a study: the difference, its interval, what would decide it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from foveate.compare.statistics import outlook, power
from foveate.compare.statistics.crossed_effects import Components, interval, p_value

Outcome = Literal["verdict", "futile", "dropped", "open"]
"""How a comparison stands after a look; see ``looks.Decision``."""


@dataclass(frozen=True)
class Difference:
    """A variant minus what it is compared with, in the unit of the scores.

    Args:
        mean: The mean difference.
        low: Lower end of the simultaneous interval; None where there is none (one seed, one item).
        high: Its upper end.
        p: Two-sided p of this comparison alone, looked at once.
        p_adjusted: The same, corrected for the comparisons and looks of the study: p times the study's alpha
            over this interval's, at most 1. It is below the study's alpha exactly if the interval excludes 0.
        df: Satterthwaite's degrees of freedom of the crossed model.
        detectable: The least true difference found in 80 of 100 such studies; None with under three seeds.
        pairing: Correlation of the two runs of one seed, in [-1, 1].
        seeds: How many seeds it is based on.
        level: Confidence of this interval alone, in (0, 1).
        own_variance: Whether it is judged by its own variance between seeds, though the study has other
            comparisons, because they are too unlike it.
        seeds_to_know: The least total number of seeds with a chance of 80 % of a verdict; ``seeds`` if there
            is one, None if seeds will not do (or without an interval).
        items_to_know: The least total number of test items with that chance on the same seeds, where seeds
            will not do; None if items will not do either.
        chance_worth: Probability that the true gain is at least the margin, in [0, 1], under the prior of
            ``outlook``; None without a margin or without an interval.
        seed_sd: Standard deviation of one seed's difference, the sampling of items taken out.
        item_share: Part of the variance of the mean that more items would reduce, in [0, 1].
        item_sd: Standard deviation of one item's difference within a seed.
    """

    mean: float
    low: float | None
    high: float | None
    p: float | None
    p_adjusted: float | None
    df: float | None
    detectable: float | None
    pairing: float
    seeds: int
    level: float = 0.95
    own_variance: bool = False
    seeds_to_know: int | None = None
    items_to_know: int | None = None
    chance_worth: float | None = None
    seed_sd: float | None = None
    item_share: float | None = None
    item_sd: float | None = None


def describe(
    c: Components,
    pair: tuple[np.ndarray, np.ndarray],
    level: float,
    *,
    margin: float,
    alpha: float,
    higher_is_better: bool = True,
    further: float | None = None,
) -> Difference:
    """Return all that is known about one comparison.

    Args:
        c: Its components, moderated.
        pair: The scores (S, N) of the variant and of what it is compared with.
        level: Confidence of its interval, in (0, 1).
        margin: The least difference worth having, in the unit of the scores.
        alpha: What all comparisons and looks of the study spend together, in (0, 1).
        higher_is_better: False for an error or a loss.
        further: Confidence of its interval at one more look, for ``seeds_to_know``; ``level`` if None.
    """
    variant, reference = (y.mean(axis=1) for y in pair)
    paired = power.pairing(variant, reference)
    ends, p = interval(c, level), p_value(c)
    if ends is None or p is None:
        return Difference(c.mean, None, None, None, None, None, None, paired, c.seeds, level)
    judged, once_more = c.seeds >= power.LEAST_SEEDS, level if further is None else further
    if judged and power.tells(ends, margin):
        known: int | None = c.seeds
    else:
        known = outlook.seeds_to_know(c, once_more, margin)
    gain, seed_part = c.mean if higher_is_better else -c.mean, max(c.ms_seed - c.ms_rest, 0.0)
    all_parts = c.variance * c.seeds * c.items
    return Difference(
        mean=c.mean,
        low=ends[0],
        high=ends[1],
        p=p,
        p_adjusted=min(1.0, p * alpha / (1 - level)),
        df=c.df,
        detectable=power.detectable(c, level) if judged else None,
        pairing=paired,
        seeds=c.seeds,
        level=level,
        own_variance=c.own_variance,
        seeds_to_know=known,
        items_to_know=outlook.items_to_know(c, once_more, margin) if known is None else None,
        chance_worth=outlook.chance_worth(gain, float(np.sqrt(c.variance)), margin),
        seed_sd=float(np.sqrt(seed_part / c.items)),
        item_share=1 - seed_part / all_parts if all_parts > 0 else 1.0,
        item_sd=float(np.sqrt((c.ms_item + (c.seeds - 1) * c.ms_rest) / c.seeds)),
    )
