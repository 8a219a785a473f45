"""Comparisons of one study lend each other their estimates of how much seeds vary.

Three seeds say little about how much seeds vary: two degrees of freedom per comparison, and after correcting
for several comparisons the quantile explodes (8.9 for four). But all variants of a study are trained alike,
so each comparison's mean square over seeds says something about the others'. The seed mean square used is

    max(own, (own + other) / 2, MS_E),   other = mean over the others of min(MS_S, 4 * median MS_S)

with more degrees of freedom than the S - 1 of its own: .8 (S - 1) more, .7 (S - 1) where there is only one
other, and up to 1.3 (S - 1) with few seeds and many comparisons, where these add .85 ln k. A comparison never
lowers its own estimate: it only trusts it more for what the others show. (Smyth, Linear models and empirical
Bayes methods for assessing differential expression in microarray experiments, 2004, moderates in a similar
way.)

A comparison that is significantly noisier than the others (above the 95 % point of F with S - 1 and S - 1
degrees of freedom, times the median of the others) borrows nothing: it is judged by its own mean square and
its own S - 1 degrees of freedom. So is one that is significantly quieter than every other (the 99.5 % point,
from eight seeds on; of fewer, a small mean square may be luck), and it lends nothing either. Otherwise a
variant that hardly changes the network would take on the noise of one that changes it much, and could never
be found to make no difference.

The numbers are the result of simulation, ``benchmarks/simulated``: false verdicts per study stay at 5 %
with equal variants, with one, the baseline or half of the variants several times as noisy as the rest, and
with one that is much quieter. With full pooling, or with twice the own degrees of freedom, they do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace
from functools import lru_cache
from math import log
from statistics import fmean, median

from scipy import stats

from foveate.compare.statistics.crossed_effects import Components

CAP = 4.0  # what one comparison lends, at most, in medians of all
FROM_ONE, FROM_SEVERAL, AT_MOST = 0.7, 0.8, 1.3  # degrees of freedom lent, in those of its own
FROM_MANY = 0.85  # degrees of freedom lent, in the logarithm of the number of comparisons
UNLIKE = 0.95  # quantile of F above which a comparison is judged by its own variance
QUIET, QUIET_SEEDS = 0.995, 8  # the same for one that is quieter than all others, and from how many seeds on


def moderate(family: Mapping[str, Components]) -> dict[str, Components]:
    """Return the comparisons of one study with moderated seed mean squares.

    Comparisons may differ in their number of seeds. One without an interval (one seed, one item) neither
    borrows nor lends, and a single comparison is returned as it is.

    Args:
        family: All comparisons of one kind in a study, by name.
    """
    own = {name: c.ms_seed for name, c in family.items() if c.defined}
    if len(own) < 2:
        return dict(family)
    cap = CAP * median(own.values())
    quiet = {name for name in own if _is_quiet(family[name], [v for n, v in own.items() if n != name])}
    return {
        name: replace(c, own_variance=True)
        if name in quiet
        else _moderated(c, {n: v for n, v in own.items() if n != name}, quiet, cap)
        if name in own
        else c
        for name, c in family.items()
    }


def _is_quiet(c: Components, others: list[float]) -> bool:
    return c.seeds >= QUIET_SEEDS and c.ms_seed * _limit(c.seeds, QUIET) < min(others)


def _moderated(c: Components, others: Mapping[str, float], quiet: Set[str], cap: float) -> Components:
    """Return the components with what the others' seed mean squares add to their own."""
    lenders = [square for name, square in others.items() if name not in quiet]
    if not lenders or c.ms_seed > _limit(c.seeds, UNLIKE) * median(others.values()):
        return replace(c, own_variance=True)
    other = fmean(min(square, cap) for square in lenders)
    df = c.seeds - 1
    lent = max(FROM_SEVERAL * df, min(FROM_MANY * log(len(lenders) + 1), AT_MOST * df))
    if len(lenders) == 1:
        lent = FROM_ONE * df
    square = max(c.ms_seed, (c.ms_seed + other) / 2, c.ms_rest)
    return replace(c, ms_seed=square, seed_df=df + lent)


@lru_cache(maxsize=64)
def _limit(seeds: int, quantile: float) -> float:
    """Return how many times the others' a mean square over that many seeds may be."""
    return float(stats.f.ppf(quantile, seeds - 1, seeds - 1))
