"""Everything that is decided before the first step of a training or a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from foveate.data.feed import Data, Feed, expect_validation
from foveate.models.source import sources
from foveate.recipe import TrainConfig
from foveate.tasks.base import Task, task_named
from foveate.tasks.build_model import base_model
from foveate.tasks.part import Network


@dataclass(frozen=True)
class Setting:
    """Data, task, recipe and model of a training, settled and tried out.

    Args:
        data: As it was opened.
        kind: The task's name, with options.
        task: Made for data and model.
        recipe: How to train; its ``size`` has become part of the task's inputs.
        model: Its name.
        sources: Hashes of what the model is made of that its name does not tell.
    """

    data: Data
    kind: str
    task: Task
    recipe: TrainConfig
    model: str
    sources: Mapping[str, str]

    def feeds(self) -> dict[str, Feed]:
        """Return the splits of the data, ready for training.

        Raises:
            DataError: An item cannot be read, or the metric says nothing about the test items.
        """
        feeds = self.task.feeds(self.data)
        self.task.expect_judgeable(feeds["test"])
        return feeds


def settle(
    data: Data,
    model: str,
    *,
    task: str | None = None,
    metric: str | None = None,
    recipe: TrainConfig | None = None,
    epochs: int | None = None,
    size: int | None = None,
    seed: int = 0,
    pretrained: bool = False,
    weights: str | Path | None = None,
) -> Setting:
    """Decide everything that a training needs, and reject what is impossible before anything is written.

    Args:
        data: As it was opened.
        model: A model's name.
        task: The task's name, with options; what the data is usually for if None.
        metric: What is judged by; the task's usual metric if None.
        recipe: How to train; what is usual for task and data if None.
        epochs: Passes over the training items; the recipe's if None.
        size: Side of the images in pixels; the recipe's, or what suits data and model, if None.
        seed: Decides the weights of the model that is tried out.
        pretrained: Whether training starts from published weights.
        weights: A file of weights to start from.

    Raises:
        DataError: The data is not for this task.
        ShapeError: The model is not for this task or this size.
        OptionError, UnknownNameError: There is no such model, task, loss or metric.
    """
    text = task or data.task
    kind, options = task_named(text)
    kind.expect(data)
    wanted = asked_recipe(
        recipe or kind.usual_recipe(data, tuned=pretrained or weights is not None), epochs, size, seed
    )
    expect_validation(data, wanted.keep_best)
    draft = kind.of(kind.inputs_of(data, **options), recipe=wanted, metric=metric)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = base_model(draft, model, pretrained=pretrained, weights=weights)
        inputs = draft.fitted(data, Network(model, made, pretrained, weights, wanted.size))
    final = replace(wanted, size=None)
    return Setting(
        data=data,
        kind=text,
        task=kind.of(inputs, recipe=final, metric=metric),
        recipe=final,
        model=model,
        sources=sources(model, made, weights),
    )


def asked_recipe(recipe: TrainConfig, epochs: int | None, size: int | None, seed: int = 0) -> TrainConfig:
    """Return a recipe with the epochs and the size that were asked for beside it; None leaves its own.

    Raises:
        OptionError: One is impossible.
    """
    return replace(
        recipe,
        epochs=recipe.epochs if epochs is None else epochs,
        size=recipe.size if size is None else size,
        seed=seed,
    )
