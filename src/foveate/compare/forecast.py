"""What a study will be able to find, said beforehand: from earlier studies like it, or an assumption."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foveate.compare.plan import StudyPlan
from foveate.compare.report.result import read_result
from foveate.compare.statistics.crossed_effects import Components
from foveate.compare.statistics.power import detectable
from foveate.compare.statistics.spending import for_plan, spend
from foveate.compare.statistics.verdict import Terms
from foveate.errors import StudyError
from foveate.quantities import duration
from foveate.tasks.metric import Metric

MOST = 20  # seeds; more are impractical
_USUAL = {"branch": (0.3, 0.03), "pretrained": (0.6, 0.06), "scratch": (1.5, 0.24)}
"""By mode: points by which one seed's difference varies, and the share of items that change sides."""


@dataclass(frozen=True)
class Noise:
    """How much the difference of two models varies, in the metric's unit.

    Args:
        seed_sd: Standard deviation of one seed's difference, the sampling of items taken out.
        item_sd: Standard deviation of one item's difference.
        source: Where that is known from.
    """

    seed_sd: float
    item_sd: float
    source: str


def foreseen(plan: StudyPlan, metric: Metric, root: Path) -> tuple[str, ...]:
    """Return in sentences what the study will be able to find in its time.

    Args:
        plan: The study's, with its times.
        metric: What it judges by.
        root: The folder in which earlier studies have theirs.
    """
    if not plan.left:
        return ()
    noise = _of_earlier(plan, metric, root) or _usual(plan, metric)
    if noise is None:
        return ("What it will be able to find is known after its first verdicts.",)
    return (*_looks(plan, noise), _margin(plan, noise), f"That rests on {noise.source}.")


def _looks(plan: StudyPlan, noise: Noise) -> Iterator[str]:
    for look in plan.looks(plan.compared[-1]):  # the last one has the looks of the last stage
        seconds = _seconds(plan, look.seeds)
        if look.seeds > 2 and seconds > 0:
            found = _amount(plan, _detectable(plan, noise, look.seeds, look.level))
            time = duration(seconds)
            yield f"After {look.seeds} seeds, about {time}: differences of {found} or more."


def _seconds(plan: StudyPlan, seeds: int) -> float:
    """Return how long it takes until there are so many seeds, without the runs that are done."""
    each, known = plan.seconds / len(plan.seeds), plan.seeds[:seeds]
    planned = sum(run.seconds for run in plan.left if run.seed in known)
    return planned + each * max(seeds - len(plan.seeds), 0)


def _margin(plan: StudyPlan, noise: Noise) -> str:
    """Return the cheapest plan that finds a difference as large as the margin."""
    if not plan.margin:
        return "There is no margin to reach."
    margin = _amount(plan, plan.margin)
    for seeds in range(3, MOST + 1):
        looks = tuple(n for n in (3, 5, 8, 12) if n < seeds)
        alpha = spend((*looks, seeds), for_plan(1 - plan.level))[-1]
        if _detectable(plan, noise, seeds, 1 - alpha / len(plan.compared)) <= plan.margin:
            seconds = _seconds(plan, seeds)
            time = f"at most {duration(seconds)}" if seconds > 0 else "which are done"
            return f"For {margin}: --seeds 3..{seeds}, {time}."
    if noise.item_sd**2 / plan.judged_on > noise.seed_sd**2:
        folds = "" if plan.folds else ", or --folds 5"
        return f"For {margin} it takes more test items{folds}; more seeds alone will not do."
    branch = "" if plan.mode == "branch" else ", or --mode branch"
    return f"{margin} is out of reach of {MOST} seeds: train for longer{branch}, or set a wider --margin."


def _detectable(plan: StudyPlan, noise: Noise, seeds: int, level: float) -> float:
    """Return the difference that 80 of 100 such studies find after this many seeds."""
    items = plan.judged_on
    rest = noise.item_sd**2
    borrowed = 1.8 if len(plan.compared) > 1 else 1  # as in a study of variants that vary alike
    one = Components(
        mean=0.0,
        seeds=seeds,
        items=items,
        ms_seed=items * noise.seed_sd**2 + rest,
        ms_item=rest,
        ms_rest=rest,
        seed_df=borrowed * (seeds - 1),
        span=None,
    )
    return detectable(one, level)


def _of_earlier(plan: StudyPlan, metric: Metric, root: Path) -> Noise | None:
    """Return the noise in the latest study of the same data, model and training; None if there is none."""
    found: list[tuple[float, Noise]] = []
    for path in root.glob("*/study.json"):
        try:
            result = read_result(path.parent)
        except (StudyError, OSError):
            continue
        if not _is_like(result, plan, metric):
            continue
        given = [v["difference"] for v in result["variants"] if v.get("difference")]
        known = [d for d in given if d.get("seed_sd") is not None and d.get("item_sd") is not None]
        if known:
            seed_sd = float(np.median([d["seed_sd"] for d in known]))
            item_sd = float(np.median([d["item_sd"] for d in known]))
            varies = _amount(plan, seed_sd) if seed_sd > 0 else "no more than the test items' own noise"
            source = f"{path.parent}, where the difference of one seed varies by {varies}"
            found.append((path.stat().st_mtime, Noise(seed_sd, item_sd, source)))
    return max(found, key=lambda entry: entry[0])[1] if found else None


def _is_like(result: dict[str, Any], plan: StudyPlan, metric: Metric) -> bool:
    """Return whether a study was made with the same data, model, mode, length and metric."""
    question = result.get("question") or {}
    wanted = {
        "mode": plan.mode,
        "model": plan.model,
        "data": plan.data,
        "epochs": plan.train.epochs,
        "branch_epochs": plan.branch_epochs,
        "folds": len(plan.folds.sizes) if plan.folds else None,
    }
    same = all(question.get(name) == value for name, value in wanted.items())
    return same and (question.get("metric") or {}).get("name") == metric.name


def _usual(plan: StudyPlan, metric: Metric) -> Noise | None:
    """Return what is usual for accuracies, by the mode; None for other metrics."""
    if metric.unit != "points" or not metric.averages:
        return None
    seed_sd, changed = _USUAL[plan.mode]
    seed_sd /= float(np.sqrt(len(plan.trained_on)))  # a run is the mean of as many trainings
    source = (
        f"what is usual in this mode: the difference of one seed varies by {seed_sd:.2g} points, and "
        f"{100 * changed:.0f} % of the items change sides. The study measures it at its first look"
    )
    return Noise(seed_sd, metric.scale * float(np.sqrt(changed)), source)


def _amount(plan: StudyPlan, value: float) -> str:
    return Terms(plan.unit, plan.margin).amount(value)
