"""What ``config.json`` says about a saved model: its schema, and the one reader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from foveate.calls import parse_call
from foveate.errors import CheckpointError, FoveateError
from foveate.files import read_json
from foveate.options import read_record
from foveate.tasks.base import Inputs, Task, task_named, tasks
from foveate.typed import Misfit

CONFIG = "config.json"
FOLDER = "best"  # of a study, where its best model is
_ADVICE = (
    "The file is damaged, or foveate did not write it: run the command that made the folder again, or bring "
    "a sound copy of it."
)


@dataclass(frozen=True)
class SavedModel:
    """A saved model, without its weights; whatever else ``config.json`` holds are the inputs of its task.

    Args:
        model: Its name, with options; code of other packages is run only if the caller trusts it.
        task: The task's name, with options.
        format: Version of the schema.
        spec: What is inserted, or None.
        start: How it started.
        pretrained: Whether training began from published weights.
        checksum: Of the weights; None in folders of earlier versions.
        plugins: Packages that were imported when it was trained, such as the one that registers its task.
    """

    model: str
    task: str
    format: int = 1
    spec: str | None = None
    start: Literal["identity", "paper"] = "identity"
    pretrained: bool = False
    checksum: str | None = None
    plugins: tuple[str, ...] = ()


_OWN = {field.name for field in fields(SavedModel)}


def read_saved(path: Path) -> tuple[SavedModel, Inputs]:
    """Return what a ``config.json`` says about a model, and the inputs of its task, both checked.

    Raises:
        CheckpointError: It cannot be read, or an entry is impossible; the text names the entry.
    """
    plain = read_json(path, CheckpointError, _ADVICE)
    saved = read_record(SavedModel, plain, path, CheckpointError, _ADVICE)
    _expect_plugins(saved, path)
    try:
        if saved.format != 1:
            raise Misfit("format", str(saved.format), "1; read the folder with the foveate that wrote it")
        return saved, _inputs(saved, plain)
    except Misfit as misfit:
        raise CheckpointError(
            f"{path}: {misfit.path} is {misfit.got}, expected {misfit.expected}. {_ADVICE}"
        ) from None


def _expect_plugins(saved: SavedModel, path: Path) -> None:
    """Raise if the task is not known here because a package that registers it has not been imported.

    Raises:
        CheckpointError: The package is named, and how to import it.
    """
    if parse_call(saved.task)[0] not in tasks and saved.plugins:
        flags = " ".join(f"--plugin {name}" for name in saved.plugins)
        raise CheckpointError(
            f'{path}: the model is for the task "{saved.task}" of another package. If you trust the package, '
            f"add {flags} (in Python: import {', '.join(saved.plugins)})."
        )


def task_of(saved: SavedModel, inputs: Inputs) -> Task:
    """Return the task that a saved model is for."""
    return task_named(saved.task)[0].of(inputs)


def _inputs(saved: SavedModel, plain: Mapping[str, Any]) -> Inputs:
    try:
        kind, _ = task_named(saved.task)
        inputs = kind.read_inputs({name: value for name, value in plain.items() if name not in _OWN})
        kind.of(inputs)
    except FoveateError as error:
        raise Misfit("task", repr(saved.task), f"a task for these inputs ({error})") from None
    return inputs
