"""Agreement between methods: the mean rank correlation of a map with those of the other methods.

Paper   Neely, Schouten, Bleeker, Lucic. Order in the Court. ICML Workshop on Theoretic Foundation, Criticism,
        and Application Trend of Explainable AI 2021. arXiv:2105.03287, sec. 3.
Differs from the paper: Spearman's correlation in place of Kendall's. Agreement does not show validity: two
        methods may share a fault, and a map that is right may be alone (arXiv:2205.04559).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foveate.explain.judging.metric import Maps, Metric, Values, metrics
from foveate.explain.judging.similarity import spearman
from foveate.explain.judging.subject import Subject


@metrics.register("agreement")
@dataclass(frozen=True)
class Agreement(Metric):
    """The mean correlation in [-1, 1], and that with each other method."""

    name = "agreement"
    asks = "do other methods draw the same map?"
    better = "neither"
    about = "form"
    needs = frozenset({"others"})
    ranks = True

    def __call__(self, maps: Maps, subject: Subject) -> Values:
        """Return the mean correlation of each picture."""
        found = {f"with {name}": spearman(maps.values, other) for name, other in maps.others.items()}
        each = np.mean([*found.values()], axis=0)
        return Values(each, {"another map is constant or not finite": np.isnan(each)}, found)
