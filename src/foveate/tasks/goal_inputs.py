"""What a model that draws pictures has to know about the data: classes, pose, sentences, size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from foveate.data.base import ImageData
from foveate.data.feed import Data
from foveate.data.posed.posed_data import PoseColumn, PosedImages
from foveate.data.posed.posed_feed import conditions_of
from foveate.errors import DataError, OptionError
from foveate.options import between, one_of, positive, whole
from foveate.sampling.sentences import Sentences
from foveate.typed import Misfit, fitted

LARGEST = 64  # pixels of a side where nobody asks for more
GOALS = ("all", "words")


@dataclass(frozen=True)
class Askable:
    """What can be asked of a model.

    Args:
        classes: Their names; empty for none.
        columns: What a pose consists of; empty for none.
        sentences: What it knows of sentences; None for none.
    """

    classes: tuple[str, ...] = ()
    columns: tuple[PoseColumn, ...] = ()
    sentences: Sentences | None = None

    @property
    def model_options(self) -> dict[str, int]:
        """Return the options of a model that takes such goals."""
        options = {"classes": len(self.classes), "pose": width_of(self.columns)}
        if self.sentences is not None:
            options |= {"words": len(self.sentences.vocabulary), "longest": self.sentences.longest}
        return options

    def conditions(self, data: PosedImages, split: str) -> np.ndarray:
        """Return the condition of each picture of a split, float32 (N, K + P + T)."""
        truths = truths_of(data, split)
        seen = truths[:, : 0 if not self.classes and not self.columns else truths.shape[1]]
        if self.sentences is None:
            return seen
        return np.concatenate([seen, self.sentences.numbers(data.captions[split])], axis=1)


def truths_of(data: PosedImages, split: str) -> np.ndarray:
    """Return class and pose of each picture of a split, float32 (N, K + P)."""
    targets, poses = data.images.splits[split].targets, data.poses[split]
    return conditions_of(targets, poses, len(data.classes), data.columns)


def width_of(columns: tuple[PoseColumn, ...]) -> int:
    """Return P, the numbers that a model gets of a pose."""
    return sum(column.width for column in columns)


def goal_inputs(
    data: Data, *, features: str, rate: float, steps: int, mismatched: float, goal: str
) -> dict[str, Any]:
    """Return the inputs of the task; see ``Generation.inputs_of``."""
    posed = posed_images(data)
    one_of("goal", goal, GOALS)
    sentences = Sentences.of(posed.captions["train"]).plain() if posed.captions else None
    if goal == "words" and sentences is None:
        raise OptionError("goal: got words, but these pictures have no captions. Leave it out.")
    if mismatched and not (posed.classes or posed.columns or sentences):
        raise OptionError(f"mismatched: got {mismatched}, but these pictures have no goals. Leave it out.")
    return {
        "classes": list(posed.classes),
        "columns": [asdict(column) for column in posed.columns],
        "sentences": sentences,
        "goal": goal,
        "size": _side(posed.images),
        "features": features,
        "rate": positive("rate", float(rate)),
        "steps": whole("steps", steps),
        "mismatched": between("mismatched", float(mismatched), 0.0, 0.999),
    }


def read_goal_inputs(plain: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a saved model carries, checked.

    Raises:
        Misfit: It is something else.
    """
    kinds: dict[str, Any] = {"classes": list[str], "size": int, "rate": float, "steps": int}
    kinds |= {"mismatched": float, "goal": str, "features": Literal["own", "inception"]}
    for name, kind in kinds.items():
        fitted(plain.get(name), kind, name)
    columns = plain.get("columns")
    if not isinstance(columns, list):
        raise Misfit("columns", repr(columns), "the columns of the pose")
    for number, column in enumerate(columns):
        fitted(column, PoseColumn, f"columns[{number}]")
    if plain.get("sentences") is not None:
        Sentences.read(plain["sentences"])
    return plain


def askable(inputs: Mapping[str, Any]) -> tuple[Askable, Askable]:
    """Return what a model is asked by, and what is known about its pictures."""
    columns = tuple(PoseColumn(**column) for column in inputs["columns"])
    classes, spoken = tuple(inputs["classes"]), inputs["sentences"]
    sentences = None if spoken is None else Sentences.read(spoken)
    known = Askable(classes, columns)
    if inputs["goal"] == "words":
        return Askable(sentences=sentences), known
    return Askable(classes, columns, sentences), known


def posed_images(data: Data) -> PosedImages:
    """Return data that was opened for generation.

    Raises:
        DataError: It was opened for another task.
    """
    if not isinstance(data, PosedImages):
        raise DataError(
            f"{data.name}: got {type(data).__name__}, expected pictures opened for generation. In Python "
            "pass the path and task='generation'."
        )
    return data


def _side(images: ImageData) -> int:
    """Return the largest power of two that pictures are not enlarged for, from 8 to 64 pixels."""
    try:
        side = min(images.splits["train"].load(0).shape[:2])
    except DataError:  # the check of the data comes next, and names this file with all others
        side = LARGEST
    return max(8, min(LARGEST, 1 << (int(side).bit_length() - 1)))
