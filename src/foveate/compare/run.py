"""One run: build, train, evaluate on the test items, save what the statistics need."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from torch import Tensor, nn

from foveate.compare.plan import StudyPlan
from foveate.compare.planned import TRUNK, PlannedRun
from foveate.compare.run_files import ANSWERS, keep_answers, run_folder
from foveate.data.feed import Feed
from foveate.errors import StudyError
from foveate.tasks.base import Task
from foveate.tensor_file import WEIGHTS, load_tensors
from foveate.train.budget import Budget
from foveate.train.device import use_channels_last
from foveate.train.evaluate import evaluate
from foveate.train.history import Epoch
from foveate.train.loop import fit
from foveate.train.progress import Progress
from foveate.train.result import FitResult
from foveate.typed import AnyFloat, Misfit, fitted


def make_run(
    run: PlannedRun,
    model: nn.Module,
    plan: StudyPlan,
    task: Task,
    feeds: Mapping[str, Feed],
    folder: Path,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Execute one run, or finish one that was interrupted, and return its record.

    Args:
        run: Which one.
        model: With its first weights.
        plan: The study's.
        task: What is learnt.
        feeds: The splits of the data.
        folder: The study's folder; the run's own is in it.
        progress: Notified of every step.

    Returns:
        Plain data: score (the metric, in its own unit), figures, loss, steps, images, seconds,
        images_per_second, history, val_score.

    Raises:
        StudyError: The run took another number of steps than planned.
    """
    home = run_folder(folder, run.variant, run.seed)
    home.mkdir(parents=True, exist_ok=True)
    result = fit(
        model,
        task,
        feeds,
        plan.config(run),
        home,
        progress=progress,
        start_from=_trunk(folder, run),
        name=f"{run.variant}, seed {run.seed}",
    )
    _expect_budget(run, result)
    record = _record(run, result, plan)
    if run.role != TRUNK:
        use_channels_last(result.model)  # a run that was already trained has another memory layout
        batch = task.judging_batch(plan.train.batch_size)
        found = evaluate(result.model, task, feeds["test"], batch_size=batch)
        keep_answers(home / ANSWERS, found.records, found.answers)
        record |= {"score": found.score, "loss": found.loss, "figures": task.figures(found.records)}
    return record


class _Record(TypedDict):
    """What is kept of a run; a trunk has no score."""

    steps: int
    images: int
    seconds: float
    images_per_second: float
    history: list[Epoch]
    score: NotRequired[AnyFloat]
    loss: NotRequired[AnyFloat]
    figures: NotRequired[dict[str, AnyFloat]]


def is_record(run: PlannedRun, record: object) -> bool:
    """Return whether a stored record is one that ``make_run`` returned."""
    try:
        found = fitted(record, _Record)
    except Misfit:
        return False
    return run.role == TRUNK or "score" in found


def _trunk(folder: Path, run: PlannedRun) -> Mapping[str, Tensor] | None:
    """Return the weights that a branch begins with."""
    return load_tensors(run_folder(folder, *run.needs) / WEIGHTS) if run.needs else None


def _expect_budget(run: PlannedRun, result: FitResult) -> None:
    if result.steps != run.steps:
        raise StudyError(
            f"{run.variant}, seed {run.seed}: took {result.steps} steps, {run.steps} are planned for all; "
            "it cannot be compared. Delete its folder under runs/ and run the same command again."
        )


def _record(run: PlannedRun, result: FitResult, plan: StudyPlan) -> dict[str, Any]:
    config = plan.config(run)
    budget = Budget.of(config, plan.items["train"])
    return {
        "steps": result.steps,
        "images": run.epochs * budget.batches * min(config.batch_size, plan.items["train"]),
        "seconds": result.seconds,
        "images_per_second": result.images_per_second,
        "history": [dict(entry) for entry in result.history],
        "val_score": result.val_score,
    }
