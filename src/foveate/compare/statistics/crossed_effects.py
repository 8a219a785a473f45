"""The interval of a mean difference when seeds and test items are both samples: two crossed random effects.

For every seed s and test item i there is one difference d[s, i] between a variant and the baseline. The mean
squares over seeds, over items and of the rest give its variance

    Var(g) = (MS_S + MS_I - MS_E) / (S N)

and Satterthwaite's rule its degrees of freedom. With three seeds MS_S has two degrees of freedom, and that
rule is overconfident: if the seeds happen to agree it ignores them and takes the quantile of a normal (false
verdicts up to 8 %). So the interval used here propagates the uncertainty of MS_S instead of averaging over
it: the seed part of the variance is MS_S / W with W ~ chi2(f) / f, and the tail is integrated over W (the
fiducial distribution, as in the Behrens-Fisher problem). It is the t interval on seed means where seeds
dominate, the normal one where items do, and conservative between the two. The same is done for the items
when there are few.

Scores in a known range add one more bound: N items without a contradiction cannot exclude a share of 1 -
(alpha/2)^(1/N) with one, so no interval is narrower than that ("rule of three"). It also gives identical
predictions a defined interval.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy import optimize, special, stats

_FEW_ITEMS = 200  # above this, the uncertainty of the item variance no longer shows in the third digit
_NODES = 48


@dataclass(frozen=True)
class Components:
    """A mean difference and the mean squares around it.

    Args:
        mean: The mean difference, in the score's own unit.
        seeds: S, how many seeds.
        items: N, how many test items.
        ms_seed: Mean square over seeds, S - 1 degrees of freedom; 0 for one seed.
        ms_item: Mean square over items, N - 1 degrees of freedom; 0 for one item.
        ms_rest: Mean square of the rest.
        seed_df: Degrees of freedom behind ``ms_seed``; more than S - 1 where it is moderated.
        span: The greatest possible difference of one item (1 for accuracy); None without a bound.
        own_variance: Whether it is judged by its own ``ms_seed`` though the study has other comparisons,
            because they are too unlike it.
    """

    mean: float
    seeds: int
    items: int
    ms_seed: float
    ms_item: float
    ms_rest: float
    seed_df: float
    span: float | None = 1.0
    own_variance: bool = False

    @property
    def variance(self) -> float:
        """Var(g) by the crossed model, never below MS_E / (S N)."""
        return max(self.ms_seed + self.ms_item - self.ms_rest, self.ms_rest) / (self.seeds * self.items)

    @property
    def df(self) -> float:
        """Satterthwaite's degrees of freedom; infinite where nothing varies."""
        degrees = (self.seed_df, self.items - 1, (self.seeds - 1) * (self.items - 1))
        squares = (self.ms_seed, self.ms_item, self.ms_rest)
        below = sum(square**2 / degree for square, degree in zip(squares, degrees, strict=True) if degree > 0)
        return (self.ms_seed + self.ms_item - self.ms_rest) ** 2 / below if below > 0 else np.inf

    @property
    def defined(self) -> bool:
        """Whether an interval exists: it takes two seeds, and two items, to estimate how much they vary.

        Where no answer scored differently, only a bounded score says how far others could: a corpus metric at
        its floor, such as BLEU of models that have learnt nothing, is not a difference of exactly 0.
        """
        rounding = 1e-20 * self.mean**2
        varies = self.span is not None or max(self.ms_seed, self.ms_item, self.ms_rest) > rounding
        return self.seeds > 1 and self.items > 1 and varies


def components(d: np.ndarray, *, span: float | None = 1.0) -> Components:
    """Split differences d (S, N) into their mean and mean squares."""
    d = np.asarray(d, dtype=np.float64)
    seeds, items = d.shape
    g, a, c = d.mean(), d.mean(axis=1), d.mean(axis=0)
    rest = d - a[:, None] - c[None, :] + g
    return Components(
        mean=float(g),
        seeds=seeds,
        items=items,
        ms_seed=float(items * np.square(a - g).sum() / max(seeds - 1, 1)),
        ms_item=float(seeds * np.square(c - g).sum() / max(items - 1, 1)),
        ms_rest=float(np.square(rest).sum() / max((seeds - 1) * (items - 1), 1)),
        seed_df=seeds - 1,
        span=span,
    )


def plain_interval(c: Components, level: float) -> tuple[float, float]:
    """Return the textbook interval g +- t(df) sqrt(Var): for comparison, overconfident with three seeds."""
    half = float(stats.t.ppf((1 + level) / 2, c.df)) * np.sqrt(c.variance)
    return c.mean - half, c.mean + half


def interval(c: Components, level: float) -> tuple[float, float] | None:
    """Return the interval of the mean difference, or None for one seed or one item.

    Args:
        c: The components of the difference.
        level: Confidence, in (0, 1).
    """
    if not c.defined:
        return None
    half = half_width(c, level)
    low, high = c.mean - half, c.mean + half
    if c.span is None:
        return low, high
    unseen = c.span * unseen_share(c.items, level)  # these could all lie at the other end of the range
    low = min(low, c.mean - unseen * (1 + c.mean / c.span))
    high = max(high, c.mean + unseen * (1 - c.mean / c.span))
    return max(low, -c.span), min(high, c.span)


def p_value(c: Components) -> float | None:
    """Return the two-sided p: the least 1 - level whose interval excludes 0; None if undefined."""
    if not c.defined:
        return None
    p = _tail(abs(c.mean), *_variances(c))
    if c.span is not None:
        p = max(p, 2 * (1 + abs(c.mean) / c.span) ** -c.items)
    return min(p, 1.0)


def half_width(c: Components, level: float) -> float:
    """Return half the width of the interval, ignoring the bounds of the score."""
    variances, weights = _variances(c)
    scale = float(np.sqrt(variances.max()))
    if scale == 0:
        return 0.0

    def beyond(half: float) -> float:
        return _tail(half, variances, weights) - (1 - level)

    return float(optimize.brentq(beyond, 0.0, 40 * scale, xtol=1e-12 * scale, rtol=1e-10))


def unseen_share(items: int, level: float) -> float:
    """Return the greatest share of the population that a sample of ``items`` can miss entirely."""
    return float(1 - ((1 - level) / 2) ** (1 / items))


def with_seeds(c: Components, seeds: int) -> Components:
    """Return the components expected with another number of seeds and the same variances."""
    item_variance = max(c.ms_item - c.ms_rest, 0.0) / c.seeds
    return replace(
        c,
        seeds=seeds,
        ms_item=seeds * item_variance + c.ms_rest,
        seed_df=c.seed_df * (seeds - 1) / (c.seeds - 1),
    )


def with_items(c: Components, items: int) -> Components:
    """Return the components expected with another number of items and the same variances."""
    seed_variance = max(c.ms_seed - c.ms_rest, 0.0) / c.items
    return replace(c, items=items, ms_seed=items * seed_variance + min(c.ms_rest, c.ms_seed))


def _tail(distance: float, variances: np.ndarray, weights: np.ndarray) -> float:
    """Return the probability that |estimate - truth| is at least ``distance``."""
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(variances > 0, distance / np.sqrt(variances), np.inf if distance > 0 else 0.0)
    return float((weights * special.erfc(z / np.sqrt(2))).sum())


def _variances(c: Components) -> tuple[np.ndarray, np.ndarray]:
    """Return the variances that are consistent with the data, and their weights."""
    seed_scale, seed_weight = _nodes(float(c.seed_df))
    item_scale, item_weight = (
        _nodes(float(c.items - 1)) if c.items <= _FEW_ITEMS else (np.ones(1), np.ones(1))
    )
    items = np.maximum(c.ms_item * item_scale - c.ms_rest, 0.0)
    variances = (c.ms_seed * seed_scale[:, None] + items[None, :]) / (c.seeds * c.items)
    return variances, seed_weight[:, None] * item_weight[None, :]


@lru_cache(maxsize=256)
def _nodes(df: float) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes of 1/W, W ~ chi2(df)/df, and weights: Gauss-Legendre, denser where W is near 0."""
    x, w = np.polynomial.legendre.leggauss(_NODES)
    v = (x + 1) / 2
    return df / stats.chi2.ppf(v**3, df), 1.5 * w * v**2
