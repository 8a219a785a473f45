"""The result of a run: a model, a history, and a marker in its folder once it is done."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NotRequired, TypedDict

from torch import nn

from foveate.errors import CheckpointError, TrainingError
from foveate.files import read_json, sweep, write_json
from foveate.models.form import form_of
from foveate.options import read_record
from foveate.tasks.metric import Metric
from foveate.tensor_file import WEIGHTS, load_tensors, save_tensors
from foveate.train.history import Epoch
from foveate.typed import AnyFloat

MARKER = "result.json"
_NAMED = 4  # differences that an error lists
_LETTERS = 120  # of a value that it shows
_HASHED = {  # what a run knows by a hash, and what it means if that differs
    "data": "the data has changed (its images, labels or splits)",
    "weights": "the file of weights to start from has changed",
    "code": "the code of the model has changed",
    "model": "the model has other layers",
}


_log = logging.getLogger("foveate")


class _Record(TypedDict):
    """What the marker holds; ``checksum``, of the weights, and ``val_score`` were added later."""

    run: dict[str, object]
    steps: int
    seconds: float
    images_per_second: float
    history: list[Epoch]
    checksum: NotRequired[str]
    val_score: NotRequired[AnyFloat | None]


@dataclass(frozen=True)
class FitResult:
    """A trained model and its training.

    Args:
        model: The model that was passed in, now trained (the moving average if there is one, the best epoch's
            if asked for).
        history: One entry per epoch.
        steps: Steps taken.
        seconds: Wall time without interruptions: training, evaluation and checkpoints.
        images_per_second: Throughput of the training steps alone.
        val_score: Score of the weights that are kept on the validation images, if there are any.
    """

    model: nn.Module = field(repr=False)
    history: list[Epoch]
    steps: int
    seconds: float
    images_per_second: float
    val_score: float | None = None


def epoch_line(entry: Epoch, epochs: int, metric: Metric) -> str:
    """Return an epoch's figures as one line of at most 60 characters."""
    score = "" if entry["val_score"] is None else f"  {metric.name} {entry['val_score'] * metric.scale:.1f}"
    place = f"epoch {entry['epoch'] + 1}/{epochs}"
    return f"{place}  loss {entry['train_loss']:.3f}{score}  {entry['seconds']:.1f} s"


def save_result(folder: Path, result: FitResult, run: Mapping[str, object]) -> None:
    """Write ``model.safetensors``, then the marker that says that the run is done.

    Raises:
        TrainingError: They cannot be written.
    """
    record = {
        name: getattr(result, name)
        for name in ("steps", "seconds", "images_per_second", "history", "val_score")
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        total = save_tensors(result.model.state_dict(), folder / WEIGHTS, form_of(result.model))
        write_json(folder / MARKER, {"format": 1, "run": dict(run), **record, "checksum": total})
    except OSError as error:
        raise TrainingError(
            f"the trained model cannot be written to {folder}: {error}. Make room and run the same "
            "command again."
        ) from error


def load_finished(folder: Path, model: nn.Module, run: Mapping[str, object], stop: int) -> FitResult | None:
    """Return the result of a run that is done, its weights loaded into ``model``; None if it is not finished.

    A run whose weights are gone or damaged has to be repeated, which gives the same weights; a warning is
    logged.

    Raises:
        CheckpointError: ``folder`` holds another run or a longer one, or its record is damaged.
    """
    sweep(folder)
    marker = folder / MARKER
    if not marker.exists():
        return None
    advice = f"Delete {marker} to train this run again, or choose another folder."
    plain = read_json(marker, CheckpointError, advice)
    record = read_record(_Record, plain, marker, CheckpointError, advice)
    expect_same_run(run, record["run"], folder)
    if record["steps"] < stop:
        return None
    expect_at_most(record["steps"], stop, folder)
    try:
        model.load_state_dict(load_tensors(folder / WEIGHTS))
    except (OSError, CheckpointError, RuntimeError) as error:
        why = "are gone" if isinstance(error, FileNotFoundError) else f"cannot be used ({error})"
        _log.warning("%s: the weights of this finished run %s; it is trained again", folder, why)
        return None
    figures = (record["history"], record["steps"], record["seconds"], record["images_per_second"])
    return FitResult(model.eval(), *figures, val_score=record.get("val_score"))


def expect_same_run(run: Mapping[str, object], stored: Mapping[str, object], folder: Path) -> None:
    """Raise unless the run in ``folder`` is the one that is asked for.

    Raises:
        CheckpointError: It is another one; what differs is named.
    """
    differ = [key for key in dict.fromkeys((*run, *stored)) if run.get(key) != stored.get(key)]
    if differ:
        listed = "; ".join(_difference(key, run, stored) for key in differ[:_NAMED])
        more = f"; and {len(differ) - _NAMED} more" if len(differ) > _NAMED else ""
        raise CheckpointError(
            f"{folder} holds another run: {listed}{more}. Choose another folder, or delete this one to "
            "start over."
        )


def _difference(key: str, run: Mapping[str, object], stored: Mapping[str, object]) -> str:
    if key in _HASHED and key in stored and key in run:
        return _HASHED[key]
    if key not in stored:
        return f"it does not say its {key}, as an older version made it"
    return f"{key} was {_short(stored[key])}, now it is {_short(run.get(key))}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LETTERS else f"{text[:_LETTERS]}…"


def expect_at_most(steps: int, stop: int, folder: Path) -> None:
    """Raise if the run in ``folder`` is already beyond ``stop`` steps.

    Raises:
        CheckpointError: It is.
    """
    if steps > stop:
        raise CheckpointError(
            f"{folder} holds a run of {steps} steps, but max_steps={stop} is asked for. "
            "Choose another folder, or a greater max_steps."
        )
