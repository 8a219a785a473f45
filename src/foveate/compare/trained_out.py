"""Whether the models of a study were trained to the end: where scores still rise, seeds differ by much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from foveate.compare.plan import StudyPlan
from foveate.compare.planned import BASELINE, TRUNK, Key
from foveate.compare.statistics.verdict import Terms
from foveate.tasks.metric import Metric

FAST = 2.0  # margins by which a score may rise in the last epoch


def still_rising(
    plan: StudyPlan, records: Mapping[Key, Mapping[str, Any]], metric: Metric, terms: Terms
) -> str:
    """Return a warning if the validation score still rose fast at the end; "" if not, or not known.

    Branches are what is judged, so in mode ``branch`` the baseline's branch counts, or its trunk if the
    branch is one epoch long.

    Args:
        plan: The study's.
        records: The record of every run that is done.
        metric: What the scores are.
        terms: The margin and its unit.
    """
    short = plan.mode == "branch" and plan.branch_epochs < 2
    name = TRUNK if short else BASELINE
    rises = [
        rise
        for seed in plan.seeds
        if (name, seed) in records and (rise := _last_rise(records[name, seed]["history"])) is not None
    ]
    if not rises or not plan.margin:
        return ""
    sign = 1 if metric.higher_is_better else -1
    rise = sign * metric.scale * float(np.median(rises))
    if rise <= FAST * plan.margin:
        return ""
    which = "trunk" if short else "baseline"
    return (
        f"The {which} was still improving, by {terms.amount(rise)} in its last epoch, so runs differ by "
        "much between seeds: train for longer."
    )


def _last_rise(history: Any) -> float | None:
    """Return by how much the validation score rose in the last epoch; None without two scores."""
    scores = [entry["val_score"] for entry in history[-2:]]
    if len(scores) < 2 or any(score is None or np.isnan(score) for score in scores):
        return None
    return float(scores[1] - scores[0])
