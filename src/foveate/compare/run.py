"""One run: build, train, judge on the test images, keep what the statistics need."""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
from torch import Tensor

from foveate.compare.build import build
from foveate.compare.plan import TRUNK, PlannedRun, StudyPlan
from foveate.data.feed import Feed
from foveate.errors import CheckpointError, StudyError
from foveate.files import replacing
from foveate.infer.saved import WEIGHTS
from foveate.tasks.base import Answers, Task
from foveate.tensor_file import load_tensors
from foveate.train.budget import Budget
from foveate.train.device import use_channels_last
from foveate.train.evaluate import evaluate
from foveate.train.loop import fit
from foveate.train.progress import Progress
from foveate.train.result import Epoch, FitResult
from foveate.typed import AnyFloat, Misfit, fitted

ANSWERS = "test.npz"


def make_run(
    run: PlannedRun,
    plan: StudyPlan,
    task: Task,
    feeds: Mapping[str, Feed],
    folder: Path,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Make one run, or finish one that was interrupted, and return its record.

    Args:
        run: Which one.
        plan: The study's.
        task: What is learnt.
        feeds: The splits of the data.
        folder: The study's folder; the run's own is in it.
        progress: Is told of every step.

    Returns:
        Plain data: score (the metric, in its own unit), figures, loss, steps, images, seconds,
        images_per_second, history, val_score.

    Raises:
        StudyError: The run took another number of steps than planned.
    """
    home = run_folder(folder, run.variant, run.seed)
    home.mkdir(parents=True, exist_ok=True)
    result = fit(
        build(plan, task, run, run.seed),
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
        use_channels_last(result.model)  # a run taken up when it was trained already is laid out otherwise
        batch = task.judging_batch(plan.train.batch_size)
        found = evaluate(result.model, task, feeds["test"], batch_size=batch)
        keep_answers(home / ANSWERS, found.records, found.answers)
        record |= {"score": found.score, "loss": found.loss, "figures": task.figures(found.records)}
    return record


def run_folder(folder: Path, variant: str, seed: int) -> Path:
    """Return where a run keeps its files: ``runs/<variant>/<seed>``, with a name that every disk takes."""
    plain = re.sub(r"[^\w.,=@()+-]+", "_", variant, flags=re.ASCII)[:80].strip(".")
    if plain != variant:  # two names that differ stay two folders
        plain = f"{plain}-{sha256(variant.encode()).hexdigest()[:6]}"
    return Path(folder) / "runs" / plain / str(seed)


def keep_answers(path: Path, records: np.ndarray, kept: Answers) -> None:
    """Write records and answers, so that a reader meets the whole file or none.

    Answers that are not one array, such as texts, boxes or images of several sizes, are kept as JSON, and the
    arrays among them by number.
    """
    arrays = {"records": records}
    if isinstance(kept, np.ndarray):
        arrays["answers"] = kept
    else:
        listed: list[np.ndarray] = []
        text = json.dumps([_described(answer, listed) for answer in kept])
        arrays["described"] = np.frombuffer(text.encode(), np.uint8)
        arrays |= {f"array{number}": array for number, array in enumerate(listed)}
    with replacing(path) as part, part.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def answers(folder: Path, variant: str, seed: int) -> tuple[np.ndarray, Answers] | None:
    """Return records (N, ...) and answers, one an item, of a run, or None if they are gone or damaged."""
    try:
        with np.load(run_folder(folder, variant, seed) / ANSWERS) as file:
            if "answers" in file:
                return file["records"], file["answers"]
            described = json.loads(file["described"].tobytes())
            return file["records"], [_restored(answer, file) for answer in described]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError):
        return None


def _described(answer: Any, arrays: list[np.ndarray]) -> Any:
    """Return an answer as JSON holds it, with the numbers of the arrays that it consists of."""
    if hasattr(answer, "numpy"):
        answer = answer.cpu().numpy()
    if isinstance(answer, np.ndarray):
        arrays.append(answer)
        return {"array": len(arrays) - 1}
    if isinstance(answer, Mapping):
        return {"fields": {str(name): _described(value, arrays) for name, value in answer.items()}}
    if isinstance(answer, list | tuple):
        return {"list": [_described(value, arrays) for value in answer]}
    return answer


def _restored(described: Any, arrays: Any) -> Any:
    if not isinstance(described, dict):
        return described
    if "array" in described:
        return arrays[f"array{described['array']}"]
    if "fields" in described:
        return {name: _restored(value, arrays) for name, value in described["fields"].items()}
    return [_restored(value, arrays) for value in described["list"]]


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


def left(folder: Path, run: PlannedRun) -> bool:
    """Return whether everything that a finished run leaves is still there and sound."""
    try:
        load_tensors(run_folder(folder, run.variant, run.seed) / WEIGHTS)
    except (OSError, CheckpointError):
        return False
    return run.role == TRUNK or answers(folder, run.variant, run.seed) is not None


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
