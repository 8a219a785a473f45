"""A finished training, and the plan of one: what ``fv.train`` returns."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from foveate.quantities import duration, short
from foveate.recipe import TrainConfig
from foveate.tasks.metric import Metric
from foveate.train.history import Epoch


@dataclass(frozen=True)
class Training:
    """A finished training.

    Args:
        folder: Where the model and its history are; ``fv.load(folder)`` loads the model again.
        model: Trained, in evaluation mode, with ``.classes``, ``.config`` and ``.predict(images)``.
        metric: What it was judged by.
        score: The metric on the test images, in its unit.
        chance: What a model scores that does not look at its input.
        figures: Further figures on the test images.
        by_class: Items, precision, recall and F1 of each class, where each image has one; else empty.
        confusions: The pairs of classes that were confused most often, likewise.
        items: What the test items are called: "images".
        facts: What the task says about its inputs in words: "5 classes", "64 px".
        test_items: How many there were.
        steps: Steps taken.
        seconds: Wall time, without interruptions.
        history: One entry per epoch.
    """

    folder: Path
    model: nn.Module = field(repr=False)
    metric: Metric
    score: float
    chance: float
    figures: Mapping[str, float]
    by_class: list[dict[str, Any]] = field(repr=False)
    confusions: list[dict[str, Any]] = field(repr=False)
    items: str
    facts: tuple[str, ...]
    test_items: int
    steps: int
    seconds: float
    history: list[Epoch] = field(repr=False)

    @property
    def beats_chance(self) -> bool:
        """Whether the score is better than that of a model that does not look."""
        return not math.isfinite(self.chance) or self.metric.better(self.score, self.chance)

    def predict(self, images: object, **options: Any) -> Any:
        """Return the model's predictions; see ``fv.predict``."""
        model: Any = self.model
        return model.predict(images, **options)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as JSON holds it."""
        plain = {name: getattr(self, name) for name in ("score", "chance", "test_items", "steps", "seconds")}
        lists = {name: getattr(self, name) for name in ("figures", "by_class", "confusions", "history")}
        named = {"metric": self.metric.name, "unit": self.metric.unit, "items": self.items}
        return {**named, **plain, **lists}


@dataclass(frozen=True)
class TrainingPlan:
    """What a training would do, cost and take.

    Args:
        data: What the data is called, and how many items its splits have.
        facts: What the task says about its inputs in words: "5 classes", "64 px".
        model: The model's name.
        attention: What is inserted, or None.
        task: The task's name.
        metric: What is judged by.
        recipe: How to train.
        steps: Optimiser steps.
        parameters: Learnable numbers.
        macs: Multiply-adds of one item.
        seconds: How long it will take, from a few measured steps.
        folder: Where it would go.
    """

    data: Mapping[str, Any]
    facts: tuple[str, ...]
    model: str
    attention: str | None
    task: str
    metric: str
    recipe: TrainConfig
    steps: int
    parameters: int
    macs: int
    seconds: float
    folder: Path

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as JSON holds it."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return plain

    def __str__(self) -> str:
        """Return the plan as text."""
        counts = ", ".join(f"{name} {count:,}" for name, count in self.data["items"].items())
        model = f"{self.model} with {self.attention}" if self.attention else self.model
        recipe = self.recipe
        return "\n".join(
            (
                f"data   {self.data['name']}: {'; '.join((*self.facts, counts))}",
                f"model  {model}, {short(self.parameters)} parameters, {short(self.macs)} MACs",
                f"task   {self.task}, judged by {self.metric}",
                f"steps  {self.steps:,} in {recipe.epochs} epochs, batches of {recipe.batch_size}, "
                f"{recipe.optimizer}, lr {recipe.lr:g}",
                f"About {duration(self.seconds)}. It would go to {self.folder}; nothing is written yet.",
            )
        )
