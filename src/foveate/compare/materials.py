"""What all runs of a study share and no plan can hold: the decoded images and the task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from foveate.data.base import ImageData
from foveate.data.cache import CachedSplit, cache
from foveate.errors import DataError
from foveate.models.create import resolve
from foveate.tasks.base import Task, tasks

LARGEST_OWN = 64  # pixels; foveate's own networks are made for small images
USUAL = 224  # pixels, where a model does not say


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


def prepare(data: ImageData, size: int, task: str) -> Materials:
    """Decode the images, unless it was done before, and look the task up."""
    return Materials(data, cache(data, size=size), tasks[task])


def natural_size(data: ImageData, name: str, model: nn.Module, pretrained: bool) -> int:
    """Return the side of images that suits data and model, where the user names none.

    It is the side that the model was made for, but no larger than the images are, unless its weights are
    pretrained: those expect objects at their size.
    """
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
