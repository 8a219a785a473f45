"""Cost beside quality: latency of all variants in turn, and their peak memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from foveate.cost.latency import measure
from foveate.cost.memory import peak_memory
from foveate.running import device_of
from foveate.tasks.base import Task
from foveate.train.lone_values import lone_values

ROUNDS = 20
BUDGET = 20.0  # seconds for a series of rounds; large models get fewer, at least 5
LARGEST_BATCH = 64


def latencies(models: Mapping[str, nn.Module], task: Task, batch: int) -> dict[str, dict[str, Any]]:
    """Return the latency of one item and of a batch, in milliseconds, of all models in turn."""
    items = min(batch, LARGEST_BATCH)
    single = _series(models, task, 1)
    many = _series(models, task, items)
    return {
        name: {"single": asdict(single[name]), "batch": {**asdict(many[name]), "images": items}}
        for name in models
    }


def memory(model: nn.Module, task: Task, batch: int) -> dict[str, int]:
    """Return the peak memory in bytes of inference and of training with a batch."""
    items = min(batch, LARGEST_BATCH)
    inputs = task.example_for(model, items)
    with lone_values(model):
        return {
            "inference": peak_memory(model, inputs, training=False),
            "training": peak_memory(model, task.training_example(model, items), training=True),
        }


@contextmanager
def on_device(models: Mapping[str, nn.Module]) -> Iterator[None]:
    """Keep the models where trainings ran, on a CUDA device if there is one, inside a ``with`` block."""
    homes = {name: device_of(model) for name, model in models.items()}
    try:
        for model in models.values():
            model.to("cuda" if torch.cuda.is_available() else "cpu")
        yield
    finally:
        for name, home in homes.items():
            models[name].to(home)


def _series(models: Mapping[str, nn.Module], task: Task, items: int) -> dict[str, Any]:
    inputs = task.example(items)
    own = {name: task.example_for(model, items) for name, model in models.items()}
    first = measure(models, inputs, rounds=2, warmup=1, examples=own)
    once = sum(latency.median for latency in first.values()) / 1000
    rounds = int(min(ROUNDS, max(5, BUDGET / max(once, 1e-6))))
    return dict(measure(models, inputs, rounds=rounds, warmup=1, examples=own))
