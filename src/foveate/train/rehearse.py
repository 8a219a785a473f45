"""How long a training will take, from a few steps of it."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from torch import nn

from foveate.data.feed import Feed
from foveate.recipe import TrainConfig
from foveate.tasks.base import Task
from foveate.train.loop import rehearse

TIMED = 3  # steps; one more goes before them, which pays for what the first step sets up


def times(
    model: nn.Module, task: Task, feeds: Mapping[str, Feed], recipe: TrainConfig
) -> tuple[float, float]:
    """Return seconds per step and per evaluated item, from a few real steps of training."""
    spans = rehearse(model, task, feeds, recipe, TIMED + 1)
    # A step is about three forward passes; evaluation is one of them, without a graph.
    return median(spans[1:]), median(spans[1:]) / (3 * recipe.batch_size * recipe.accumulate)
