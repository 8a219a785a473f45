"""What all runs of a study share and no plan can hold: the decoded images and the task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from foveate.compare.build import example
from foveate.data.base import ImageData
from foveate.data.batches import Batch
from foveate.data.cache import CachedSplit, cache
from foveate.data.canvas import Canvas, choose_canvas, image_size
from foveate.errors import CheckpointError, DataError, FoveateError, OptionError, ShapeError, in_one_line
from foveate.infer.saved import CONFIG, read_saved
from foveate.models.names import resolve
from foveate.recipe import TrainConfig
from foveate.running import asking
from foveate.tasks.base import Builder, Task, tasks

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

    @property
    def one_class_each(self) -> bool:
        """Whether an answer is the one class of an image: neither masks nor several findings."""
        return self.task.truth == "label"


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
        OptionError, UnknownNameError: The task does not have such a loss or metric, or the metric says
            nothing about the test images.
    """
    build = expect_task(data, task)
    expect_validation(data, train)
    splits = cache(data, size=size if data.truth == "mask" else size[0])
    weights = None
    if train.class_weights is not None:
        from foveate.tasks.losses.weights import class_weights

        seen = splits["train"]
        counts = seen.class_pixels if seen.masks is not None else _label_counts(seen.targets)
        weights = class_weights(counts[: len(data.classes)], method=train.class_weights).tolist()
    made = build(data.classes, loss=train.loss, metric=metric, class_weights=weights)
    made.check_metric(splits["test"].truth)
    return Materials(data, splits, made)


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


def expect_validation(data: ImageData, train: TrainConfig) -> None:
    """Raise if the best epoch is to be kept and there are no images to tell which one it is.

    Raises:
        OptionError: There is no split val.
    """
    if train.keep_best and "val" not in data.splits:
        raise OptionError(
            f"keep_best: {data.name} has no validation images (splits: {', '.join(data.splits)}), which "
            "would say which epoch is best. Leave it out, or give a split val."
        )


def fitting_size(
    data: ImageData,
    asked: int | None,
    name: str,
    model: nn.Module,
    task: Task,
    *,
    pretrained: bool,
    weights: str | Path | None = None,
) -> Canvas:
    """Return height and width of images that the model takes, tried out on one image.

    Args:
        data: The images.
        asked: Side of the images, the short one where they have masks; what suits data and model if None.
        name: The model's name.
        model: Without attention.
        task: What its outputs mean.
        pretrained: Whether the model starts from published weights.
        weights: The file of weights that it starts from, if any.

    Raises:
        ShapeError: The model does not take such images, or returns something else than the task needs.
    """
    targets = data.splits["train"].targets
    if asked:
        size = canvas(data, asked)
        try_out(name, model, size, task, targets)
        return size
    size = natural_size(data, name, model, pretrained, weights)
    side = made_for(name, model)
    if data.truth == "mask" or size == (side, side) or _takes(model, size):
        try_out(name, model, size, task, targets)
        return size
    try_out(name, model, (side, side), task, targets)
    return side, side


def try_out(name: str, model: nn.Module, size: Canvas, task: Task, targets: np.ndarray) -> None:
    """Ask a model about one image, before training.

    Raises:
        ShapeError: It does not take an image of this size, or returns something else than the task needs.
        DataError: There are more classes than it tells apart.
    """
    images = example(size, 1)
    batch = Batch(images, torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))
    try:
        with asking(model):
            outputs = task.forward(model, batch)
    except FoveateError:
        raise
    except Exception as error:  # whatever a foreign network raises about a size
        height, width = size
        raise ShapeError(
            f"{name} does not take images of {width} x {height} pixels ({in_one_line(error)}). "
            f"It was made for {made_for(name, model)}: choose that size."
        ) from error
    task.check(outputs, targets)


def _takes(model: nn.Module, size: Canvas) -> bool:
    try:
        with asking(model):
            model(example(size, 1))
    except Exception:  # whatever a foreign network raises about a size
        return False
    return True


def natural_size(
    data: ImageData, name: str, model: nn.Module, pretrained: bool, weights: str | Path | None = None
) -> Canvas:
    """Return the height and width of images that suit data and model, where the user names none.

    It is what the model was made for, but no larger than the images are, unless its weights are published
    ones, which expect objects at their size. With a file of weights it is the size that they were trained at,
    if that is said beside them. Images with masks keep their aspect and are cut short at ``USUAL`` pixels of
    their short side.
    """
    if data.truth == "mask":
        try:
            short = min(image_size(data.splits["train"], 0))
        except DataError:  # as below
            short = USUAL
        return choose_canvas(data, min(short, USUAL))
    known = None if weights is None else _trained_at(Path(weights))
    side = known or _natural_side(data, name, model, pretrained or (weights is not None and _published(name)))
    return side, side


def canvas(data: ImageData, size: int) -> Canvas:
    """Return height and width of images whose side, or short side where they have masks, is ``size``."""
    return choose_canvas(data, size) if data.truth == "mask" else (size, size)


def made_for(name: str, model: nn.Module) -> int:
    """Return the side of the images that a model was made for, in pixels."""
    stated = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None) or {}
    if isinstance(stated, Mapping) and stated.get("input_size"):
        return int(stated["input_size"][-1])
    return LARGEST_OWN if resolve(name)[0] == "foveate" else USUAL


def _published(name: str) -> bool:
    """Return whether a file of weights may hold published ones: foveate's own networks have none."""
    return resolve(name)[0] in ("timm", "torchvision")


def _trained_at(weights: Path) -> int | None:
    """Return the size that a file of weights was trained at, from the ``config.json`` beside it."""
    try:
        height, width = read_saved(weights.parent / CONFIG)[0].canvas
    except CheckpointError:  # it is somebody else's, or there is none
        return None
    return height if height == width and height > 0 else None


def _natural_side(data: ImageData, name: str, model: nn.Module, pretrained: bool) -> int:
    side = made_for(name, model)
    if pretrained:
        return side
    try:
        height, width = data.splits["train"].load(0).shape[:2]
    except DataError:  # the check of the data comes next, and names this file with all others
        return side
    return min(side, height, width)
