"""The files of a run of a study: where they are, and its answers to the test items."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from foveate.compare.planned import TRUNK, PlannedRun
from foveate.errors import CheckpointError
from foveate.files import replacing
from foveate.tasks.judged import Answers
from foveate.tensor_file import WEIGHTS, load_tensors

ANSWERS = "test.npz"


def run_folder(folder: Path, variant: str, seed: int) -> Path:
    """Return where a run keeps its files: ``runs/<variant>/<seed>``, with a name that every disk takes."""
    plain = re.sub(r"[^\w.,=@()+-]+", "_", variant, flags=re.ASCII)[:80].strip(".")
    if plain != variant:  # two names that differ stay two folders
        plain = f"{plain}-{sha256(variant.encode()).hexdigest()[:6]}"
    return Path(folder) / "runs" / plain / str(seed)


def training_folder(folder: Path, variant: str, seed: int, fold: int | None) -> Path:
    """Return where a training of a run keeps its files: the run's folder, or the one of its fold in that."""
    home = run_folder(folder, variant, seed)
    return home if fold is None else home / f"fold{fold}"


def folds_of(run: PlannedRun) -> tuple[int | None, ...]:
    """Return the number of the fold of each of a run's trainings, from 1 on; of a lone one None."""
    return tuple(range(1, run.folds + 1)) or (None,)


def keep_answers(path: Path, records: np.ndarray, kept: Answers) -> None:
    """Write records and answers, so that a reader sees the whole file or none.

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
    """Return records (N, ...) and answers, one per item, of a run, or None if they are gone or damaged."""
    try:
        with (run_folder(folder, variant, seed) / ANSWERS).open("rb") as opened, np.load(opened) as file:
            if "answers" in file:
                return file["records"], file["answers"]
            described = json.loads(file["described"].tobytes())
            return file["records"], [_restored(answer, file) for answer in described]
    except MemoryError:
        raise
    except Exception:  # whatever a damaged archive raises: of one changed byte it may say "encrypted"
        return None


def _described(answer: Any, arrays: list[np.ndarray]) -> Any:
    """Return an answer as JSON holds it, with the numbers of the arrays that it consists of."""
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


def is_complete(folder: Path, run: PlannedRun) -> bool:
    """Return whether the files of a finished run are all there and undamaged."""
    try:
        for fold in folds_of(run):
            load_tensors(training_folder(folder, run.variant, run.seed, fold) / WEIGHTS)
    except (OSError, CheckpointError):
        return False
    return run.role == TRUNK or answers(folder, run.variant, run.seed) is not None
