"""The scores of all maps and baselines by all metrics, and what beats what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from foveate.explain.judging.baselines import Baseline
from foveate.explain.judging.comparison import Comparison, Pair, compare
from foveate.explain.judging.grids import Grid, on_grid
from foveate.explain.judging.intervals import resample
from foveate.explain.judging.judgement import Scores
from foveate.explain.judging.metric import Maps, Metric, Values
from foveate.explain.judging.paired_rate import exact_rate
from foveate.explain.judging.subject import Subject

Which = Bool[np.ndarray, " b"]


class ScoreTable:
    """The scores as they come in.

    Args:
        subject: What is judged on.
        metrics: By the text that named them.
        wrong: Pictures that no metric judges.
        level: Confidence of the intervals.
    """

    def __init__(
        self, subject: Subject, metrics: Mapping[str, Metric], wrong: Which, level: float = 0.95
    ) -> None:
        self.subject, self.metrics, self.wrong, self.level = subject, metrics, wrong, level
        self.scores: dict[str, dict[str, Scores]] = {text: {} for text in metrics}

    def add(self, maps: Maps) -> None:
        """Judge the maps of a method."""
        for text, metric in self.metrics.items():
            values = self._values(metric, maps)
            self.scores[text][maps.name] = self._scores(text, maps.name, values)

    def add_baseline(self, name: str, baseline: Baseline, common: Grid | None, coarsest: Grid) -> None:
        """Judge a baseline by the metrics that need nothing but maps; of several draws the mean counts.

        Args:
            name: Of the baseline.
            baseline: How it is made.
            common: The resolution to which all maps are brought, if any.
            coarsest: That of the coarsest map.
        """
        drawn = []
        for draw in range(baseline.draws):
            values = baseline.make(self.subject, coarsest, draw)
            drawn.append(Maps(name, values if common is None else on_grid(values, common)))
        for text, metric in self.metrics.items():
            if not metric.needs & {"method", "others"}:
                values_of_draws = [self._values(metric, maps) for maps in drawn]
                self.scores[text][name] = self._scores(text, name, _mean(values_of_draws))

    def comparisons(self, maps: Sequence[str], beside: Mapping[str, Baseline]) -> list[Comparison]:
        """Return every map against every baseline that it has to beat; the family is a metric."""
        found = []
        for text, metric in self.metrics.items():
            own, groups = self.scores[text], self.subject.groups
            pairs = [
                Pair(
                    text,
                    name,
                    than,
                    one.words,
                    own[name].each,
                    own[than].each,
                    metric.better,
                    groups,
                    metric.hits,
                )
                for name in maps
                for than, one in beside.items()
                if than in own and not one.bound and metric.better != "neither"
            ]
            found += compare(pairs, level=self.level, seed=self.subject.seed)
        return found

    def _values(self, metric: Metric, maps: Maps) -> Values:
        """Return what a metric says, and NaN for maps that it cannot judge."""
        faults = _faults(maps.values, metric.ranks)
        blank = np.logical_or.reduce([self.wrong, *faults.values()])
        fine = torch.nan_to_num(maps.values, nan=0.0, posinf=0.0, neginf=0.0)
        values = metric(replace(maps, values=fine), self.subject)
        reasons = {why: which & ~self.wrong for why, which in faults.items()}
        return Values(
            np.where(blank, np.nan, values.each),
            reasons | {why: which & ~blank for why, which in values.undefined.items()},
            {name: np.where(blank, np.nan, row) for name, row in values.extra.items()},
            {name: np.where(blank[:, None], np.nan, rows) for name, rows in values.curves.items()},
        )

    def _scores(self, text: str, name: str, values: Values) -> Scores:
        there = np.isfinite(values.each)
        each = values.each[there]
        if self.metrics[text].hits and np.isin(each, (0, 1)).all():
            low, high = exact_rate(int(each.sum()), len(each), self.level)
        else:
            groups = None if self.subject.groups is None else self.subject.groups[there]
            low, high = resample(each, groups, seed=self.subject.seed).interval(self.level)
        skipped, counted = {}, np.zeros(len(there), dtype=bool)
        for why, which in values.undefined.items():  # a picture counts for its first reason
            skipped[why] = int((which & ~counted).sum())
            counted = counted | which
        skipped = {why: count for why, count in skipped.items() if count}
        return Scores(text, name, values.each, low, high, skipped, values.extra, values.curves)


def _mean(values: Sequence[Values]) -> Values:
    """Return the mean of several draws, picture by picture."""

    def over(rows: Sequence[np.ndarray]) -> Any:
        return np.mean(rows, axis=0)

    if len(values) == 1:
        return values[0]
    first = values[0]
    return Values(
        over([one.each for one in values]),
        first.undefined,
        {name: over([one.extra[name] for one in values]) for name in first.extra},
        {name: over([one.curves[name] for one in values]) for name in first.curves},
    )


def _faults(maps: Tensor, ranks: bool) -> dict[str, Which]:
    """Return which maps cannot be judged, by the reason."""
    flat = maps.flatten(1)
    finite = flat.isfinite().all(dim=1)
    constant = (flat == flat[:, :1]).all(dim=1) & finite
    faults = {"map not finite": ~finite} | ({"constant map": constant} if ranks else {})
    return {why: which.cpu().numpy() for why, which in faults.items()}
