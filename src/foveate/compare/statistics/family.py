"""All comparisons of one kind in a study, corrected for their number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from foveate.compare.statistics import power
from foveate.compare.statistics.crossed_effects import components, interval, p_value
from foveate.compare.statistics.pooling import pool


@dataclass(frozen=True)
class Difference:
    """A variant minus what it is compared with, in the unit of the scores.

    Args:
        mean: The mean difference.
        low: Lower end of the simultaneous interval; None where there is none (one seed, one item).
        high: Its upper end.
        p: Two-sided p of this comparison alone.
        p_adjusted: The same, corrected by Holm for all comparisons of the family.
        df: Satterthwaite's degrees of freedom of the crossed model.
        detectable: The least true difference found in 80 of 100 such studies; None with under three seeds.
        pairing: Correlation of the two runs of one seed, in [-1, 1].
        more_seeds: Further seeds expected to give a verdict; 0 if there is one, None if seeds alone cannot.
        seeds: How many seeds it is based on.
    """

    mean: float
    low: float | None
    high: float | None
    p: float | None
    p_adjusted: float | None
    df: float | None
    detectable: float | None
    pairing: float
    more_seeds: int | None
    seeds: int


def compare_all(
    against: Mapping[str, np.ndarray],
    scores: Mapping[str, np.ndarray],
    *,
    level: float = 0.95,
    margin: float = 0.0,
    span: float | None = 1.0,
) -> dict[str, Difference]:
    """Compare several variants, each with its own reference, and correct for the number of comparisons.

    Args:
        against: For each variant the scores (S, N) of what it is compared with.
        scores: For each variant its scores (S, N), rows by seed, columns by test item, as in ``against``.
        level: Confidence of all intervals together (Bonferroni), in (0, 1).
        margin: The least difference worth having, in the unit of the scores.
        span: The range of one score (1 for accuracy), or None.
    """
    family = pool({name: components(y - against[name], span=span) for name, y in scores.items()})
    p = {name: p_value(c) for name, c in family.items()}
    adjusted = holm({name: value for name, value in p.items() if value is not None})
    single = 1 - (1 - level) / max(len(family), 1)
    result = {}
    for name, c in family.items():
        ends = interval(c, single)
        judged = c.defined and c.seeds > 2
        result[name] = Difference(
            mean=c.mean,
            low=ends[0] if ends else None,
            high=ends[1] if ends else None,
            p=p[name],
            p_adjusted=adjusted.get(name),
            df=c.df if c.defined else None,
            detectable=power.detectable(c, single) if judged else None,
            pairing=power.pairing(scores[name].mean(axis=1), against[name].mean(axis=1)),
            more_seeds=power.further_seeds(c, single, margin) if c.defined else None,
            seeds=c.seeds,
        )
    return result


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Return Holm's adjusted p-values: valid whatever the dependence between the comparisons."""
    adjusted: dict[str, float] = {}
    running = 0.0
    for rank, name in enumerate(sorted(p, key=lambda n: p[n])):
        running = max(running, min(1.0, (len(p) - rank) * p[name]))
        adjusted[name] = running
    return adjusted
