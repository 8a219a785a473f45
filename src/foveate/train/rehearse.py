"""What a few steps tell of a training: how long it will take, and whether anything in it is rejected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from statistics import median

from torch import nn

from foveate.data.feed import Feed
from foveate.recipe import TrainConfig
from foveate.tasks.base import Task
from foveate.train.loop import rehearse

TIMED = 3  # steps; one more goes before them, which pays for what the first step sets up
TRIED = 8  # items in the batch of a step that is not timed


def times(
    model: nn.Module, task: Task, feeds: Mapping[str, Feed], recipe: TrainConfig
) -> tuple[float, float]:
    """Return seconds per step and per evaluated item, from a few real steps of training."""
    spans = rehearse(model, task, feeds, recipe, TIMED + 1)
    # A step is about three forward passes; evaluation is one of them, without a graph.
    return median(spans[1:]), median(spans[1:]) / (3 * recipe.batch_size * recipe.accumulate)


def expect_trainable(model: nn.Module, task: Task, feeds: Mapping[str, Feed], recipe: TrainConfig) -> None:
    """Train on one small batch, and raise what ``fit`` would raise by then."""
    small = replace(recipe, batch_size=min(TRIED, recipe.batch_size), accumulate=1)
    rehearse(model, task, feeds, small, 1)
