"""What all runs of a study share and no plan can hold: the decoded images and the task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import nn

from foveate.data.base import ImageData
from foveate.data.cache import CachedSplit, cache
from foveate.data.canvas import Canvas, choose_canvas, image_size
from foveate.errors import DataError
from foveate.models.create import resolve
from foveate.tasks.base import Builder, Task, tasks
from foveate.train.config import TrainConfig

LARGEST_OWN = 64  # pixels; foveate's own networks are made for small images
USUAL = 224  # pixels, where a model does not say; and the short side of images with masks, at most


@dataclass(frozen=True)
class Materials:
    """Data and task of a study.

    Args:
        data: The images as they were opened.
        splits: The same, decoded, by split.
        task: What outputs mean.
    """

    data: ImageData
    splits: Mapping[str, CachedSplit]
    task: Task


def prepare(
    data: ImageData, size: Canvas, task: str | None, train: TrainConfig, metric: str | None = None
) -> Materials:
    """Decode the images, unless it was done before, and make the task.

    Args:
        data: The images.
        size: Height and width that they are brought to.
        task: Its name; None for the usual task of such data.
        train: Says which loss, and how classes weigh in it.
        metric: What is judged by; the task's usual metric if None.

    Raises:
        DataError: The task needs another kind of truth, or an image cannot be read.
        OptionError, UnknownNameError: The task has no such loss or metric.
    """
    build = expect_task(data, task)
    splits = cache(data, size=size if data.truth == "mask" else size[0])
    weights = None
    if train.class_weights is not None:
        from foveate.tasks.losses.weights import class_weights

        seen = splits["train"]
        counts = seen.class_pixels if seen.masks is not None else _label_counts(seen.targets)
        weights = class_weights(counts[: len(data.classes)], method=train.class_weights).tolist()
    return Materials(data, splits, build(data.classes, loss=train.loss, metric=metric, class_weights=weights))


def _label_counts(targets: np.ndarray) -> np.ndarray:
    """Return how many images each class holds for."""
    return np.bincount(targets, minlength=256) if targets.ndim == 1 else targets.sum(axis=0)


def usual_task(data: ImageData) -> str:
    """Return the name of the task that such data are for."""
    return {"label": "classification", "labels": "diagnosis", "mask": "segmentation"}[data.truth]


def expect_task(data: ImageData, name: str | None) -> Builder:
    """Return what makes a task, the usual one if ``name`` is None.

    Raises:
        DataError: It needs another kind of truth.
        UnknownNameError: There is no such task.
    """
    build = tasks[name or usual_task(data)]
    needed = build(data.classes).truth
    if data.truth != needed and (data.truth, needed) != ("label", "labels"):  # one label is a case of several
        have = {"mask": "masks", "label": "one label an image", "labels": "several labels an image"}
        raise DataError(
            f"{data.name} has {have[data.truth]}, but {name} needs {have[needed]}. Leave the task out, or "
            f"write {usual_task(data)}."
        )
    return build


def natural_size(data: ImageData, name: str, model: nn.Module, pretrained: bool) -> Canvas:
    """Return the height and width of images that suit data and model, where the user names none.

    It is what the model was made for, but no larger than the images are, unless its weights are
    pretrained: those expect objects at their size. Images with masks keep their aspect and are cut short at
    ``USUAL`` pixels of their short side.
    """
    if data.truth == "mask":
        try:
            short = min(image_size(data.splits["train"], 0))
        except DataError:  # as below
            short = USUAL
        return choose_canvas(data, min(short, USUAL))
    side = _natural_side(data, name, model, pretrained)
    return side, side


def canvas(data: ImageData, size: int) -> Canvas:
    """Return height and width of images whose side, or short side where they have masks, is ``size``."""
    return choose_canvas(data, size) if data.truth == "mask" else (size, size)


def _natural_side(data: ImageData, name: str, model: nn.Module, pretrained: bool) -> int:
    made_for = LARGEST_OWN if resolve(name)[0] == "foveate" else USUAL
    stated = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None) or {}
    if isinstance(stated, Mapping) and stated.get("input_size"):
        made_for = int(stated["input_size"][-1])
    if pretrained:
        return made_for
    try:
        height, width = data.splits["train"].load(0).shape[:2]
    except DataError:  # the check of the data comes next, and names this file with all others
        return made_for
    return min(made_for, height, width)
