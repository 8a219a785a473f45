"""What ``config.json`` says of a saved model: its schema, and the one reader."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from foveate.data.canvas import Canvas
from foveate.errors import CheckpointError, FoveateError
from foveate.files import read_json
from foveate.insert.surgery import Start
from foveate.options import read_record
from foveate.tasks.base import tasks
from foveate.typed import Misfit

CONFIG = "config.json"
_LARGEST = 2**15  # pixels of a side
_COLOURS = 256
_ADVICE = (
    "The file is damaged, or foveate did not write it: run the command that made the folder again, or bring "
    "a sound copy of it."
)
Triple = tuple[float, float, float]


class Normalisation(TypedDict):
    """What the model expects of images in [0, 1]."""

    mean: Triple
    std: Triple


@dataclass(frozen=True)
class SavedModel:
    """A saved model, without its weights.

    Args:
        model: Its name, with options; code of other packages is run only if the caller trusts it.
        task: The task's name.
        classes: Names in the order of the outputs.
        size: Height and width of the images in pixels; one number for squares.
        normalisation: What the model expects of images.
        format: Version of the schema.
        spec: What is inserted, or None.
        start: How it started.
        pretrained: Whether training began from published weights.
        palette: With masks, a colour for each class.
        levels: Least and greatest value of pictures of more than 8 bits, or None.
        checksum: Of the weights; None in folders of earlier versions.
    """

    model: str
    task: str
    classes: tuple[str, ...]
    size: int | tuple[int, int]
    normalisation: Normalisation
    format: int = 1
    spec: str | None = None
    start: Start = "identity"
    pretrained: bool = False
    palette: tuple[tuple[int, int, int], ...] | None = None
    levels: tuple[float, float] | None = None
    checksum: str | None = None

    @property
    def canvas(self) -> Canvas:
        """Height and width of the images in pixels."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size


def read_saved(path: Path) -> tuple[SavedModel, dict[str, Any]]:
    """Return what a ``config.json`` says, checked, and all that stands in it.

    Raises:
        CheckpointError: It cannot be read, or says what cannot be; the text names the entry.
    """
    plain = read_json(path, CheckpointError, _ADVICE)
    saved = read_record(SavedModel, plain, path, CheckpointError, _ADVICE)
    try:
        _expect_sensible(saved)
    except Misfit as misfit:
        raise CheckpointError(
            f"{path}: {misfit.path} is {misfit.got}, expected {misfit.expected}. {_ADVICE}"
        ) from None
    return saved, dict(plain)


def _expect_sensible(saved: SavedModel) -> None:
    if saved.format != 1:
        raise Misfit("format", str(saved.format), "1; read the folder with the foveate that wrote it")
    if not saved.classes or len(set(saved.classes)) < len(saved.classes):
        raise Misfit("classes", f"{len(saved.classes)} names", "at least one, all different")
    if not all(1 <= side <= _LARGEST for side in saved.canvas):
        raise Misfit("size", str(saved.size), f"sides of 1 to {_LARGEST} pixels")
    if min(saved.normalisation["std"]) <= 0:
        raise Misfit("normalisation.std", str(saved.normalisation["std"]), "deviations above 0")
    colours = saved.palette
    if colours is not None and (
        len(colours) < len(saved.classes) or not all(0 <= part < _COLOURS for row in colours for part in row)
    ):
        raise Misfit("palette", f"{len(colours)} colours", "one of numbers from 0 to 255 for each class")
    try:
        truth = tasks[saved.task](saved.classes).truth
    except FoveateError as error:
        raise Misfit("task", repr(saved.task), f"a task for these classes ({error})") from None
    if truth == "mask" and colours is None:
        raise Misfit("palette", "missing", "a colour for each class")
