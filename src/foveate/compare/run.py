"""One run: build, train, evaluate on the test items, save what the statistics need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
from torch import Tensor, nn

from foveate.compare.joined import in_order, mean_history, mean_score
from foveate.compare.plan import StudyPlan
from foveate.compare.planned import TRUNK, PlannedRun
from foveate.compare.run_files import ANSWERS, keep_answers, run_folder, training_folder
from foveate.compare.trainings import Training
from foveate.errors import StudyError
from foveate.tasks.base import Task
from foveate.tensor_file import WEIGHTS, load_tensors
from foveate.train.budget import Budget
from foveate.train.device import use_channels_last
from foveate.train.evaluate import Evaluation, evaluate
from foveate.train.history import Epoch
from foveate.train.loop import fit
from foveate.train.progress import Progress
from foveate.train.result import FitResult
from foveate.typed import AnyFloat, Misfit, fitted


def make_run(
    run: PlannedRun,
    build: Callable[[], nn.Module],
    plan: StudyPlan,
    task: Task,
    trainings: Sequence[Training],
    folder: Path,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Execute one run, or finish one that was interrupted, and return its record.

    Args:
        run: Which one.
        build: Returns its model with the first weights.
        plan: The study's.
        task: What is learnt.
        trainings: What it consists of: one training, or one for each fold.
        folder: The study's folder; the run's own is in it.
        progress: Notified of every step.

    Returns:
        Plain data: score (the metric, in its own unit), figures, loss, steps, images, seconds,
        images_per_second, history, val_score; of a cross-validation also ``folds``, the figures of each
        training, of which those of the run are the sum or the mean. Its score is that of all items together.

    Raises:
        StudyError: The run took another number of steps than planned.
    """
    parts, tested = [], []
    for training, items in zip(trainings, plan.trained_on, strict=True):
        result, found = _train(run, build(), plan, task, training, folder, progress)
        parts.append(_figures(run, result, plan, items))
        if found is not None:
            parts[-1] |= {"score": found.score, "loss": found.loss}
            tested.append(found)
    record = _together(parts)
    _expect_budget(run, record["steps"])
    if run.folds:
        record["folds"] = [{name: part.get(name) for name in _Fold.__annotations__} for part in parts]
    if run.role != TRUNK:
        record |= _tested(run, task, trainings, tested, folder)
    return record


class _Fold(TypedDict):
    """What is kept of one training of a cross-validation; a score that no item tells is not a number."""

    score: AnyFloat | None
    val_score: AnyFloat | None
    steps: int
    seconds: float


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
    folds: NotRequired[list[_Fold]]


def is_record(run: PlannedRun, record: object) -> bool:
    """Return whether a stored record is one that ``make_run`` returned."""
    try:
        found = fitted(record, _Record)
    except Misfit:
        return False
    return (run.role == TRUNK or "score" in found) and len(found.get("folds", ())) == run.folds


def _train(
    run: PlannedRun,
    model: nn.Module,
    plan: StudyPlan,
    task: Task,
    training: Training,
    folder: Path,
    progress: Progress | None,
) -> tuple[FitResult, Evaluation | None]:
    """Make one training, and judge its model on its test items; the model of a trunk is not judged."""
    home = training_folder(folder, run.variant, run.seed, training.fold)
    home.mkdir(parents=True, exist_ok=True)
    feeds = training.feeds()
    fold = "" if training.fold is None else f", fold {training.fold}"
    result = fit(
        model,
        task,
        feeds,
        plan.config(run),
        home,
        progress=progress,
        start_from=_trunk(folder, run, training.fold),
        name=f"{run.variant}, seed {run.seed}{fold}",
    )
    if run.role == TRUNK:
        return result, None
    use_channels_last(result.model)  # a run that was already trained has another memory layout
    batch = task.judging_batch(plan.train.batch_size)
    return result, evaluate(result.model, task, feeds["test"], batch_size=batch)


def _trunk(folder: Path, run: PlannedRun, fold: int | None) -> Mapping[str, Tensor] | None:
    """Return the weights that a branch begins with: those of the trunk of its seed and fold."""
    return load_tensors(training_folder(folder, *run.needs, fold) / WEIGHTS) if run.needs else None


def _expect_budget(run: PlannedRun, steps: int) -> None:
    if steps != run.steps:
        raise StudyError(
            f"{run.variant}, seed {run.seed}: took {steps} steps, {run.steps} are planned for all; "
            "it cannot be compared. Delete its folder under runs/ and run the same command again."
        )


def _figures(run: PlannedRun, result: FitResult, plan: StudyPlan, items: int) -> dict[str, Any]:
    """Return what is kept of one training on so many items."""
    config = plan.config(run)
    budget = Budget.of(config, items)
    return {
        "steps": result.steps,
        "images": run.epochs * budget.batches * min(config.batch_size, items),
        "seconds": result.seconds,
        "images_per_second": result.images_per_second,
        "history": [dict(entry) for entry in result.history],
        "val_score": result.val_score,
    }


def _together(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the figures of a run from those of its trainings."""
    return {
        **{name: sum(part[name] for part in parts) for name in ("steps", "images", "seconds")},
        "images_per_second": float(np.mean([part["images_per_second"] for part in parts])),
        "history": mean_history([part["history"] for part in parts]),
        "val_score": mean_score([part["val_score"] for part in parts]),
    }


def _tested(
    run: PlannedRun, task: Task, trainings: Sequence[Training], tested: Sequence[Evaluation], folder: Path
) -> dict[str, Any]:
    """Keep the records and answers of all items in order, and return what they say."""
    items = [training.items for training in trainings]
    records = np.asarray(in_order(items, [found.records for found in tested]))
    answers = in_order(items, [found.answers for found in tested])
    keep_answers(run_folder(folder, run.variant, run.seed) / ANSWERS, records, answers)
    loss = np.average([found.loss for found in tested], weights=list(map(len, items)))
    return {"score": task.value(records), "loss": float(loss), "figures": task.figures(records)}
