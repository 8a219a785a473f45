"""The model of a task: made by its name for the task's inputs, with attention inserted or without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from foveate.insert.surgery import Start, insert
from foveate.models.create import create_model
from foveate.options import one_of
from foveate.tasks.base import Task


def build_model(
    task: Task,
    model: str,
    *,
    spec: str | None = None,
    start: str = "identity",
    pretrained: bool = False,
    weights: str | Path | None = None,
    seed: int = 0,
) -> nn.Module:
    """Return a model with its first weights.

    The base model is made first, right after seeding; what is inserted draws from a stream of its own. So all
    variants of a model have the same weights where they share them.

    Args:
        task: What the model is for.
        model: Its name.
        spec: What is inserted, or None.
        start: How attention starts.
        pretrained: Start from published weights.
        weights: Start from this file of weights.
        seed: Decides the weights that are drawn.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        base = base_model(task, model, pretrained=pretrained, weights=weights)
    return base if spec is None else attended(task, base, spec, start=start, seed=seed)


def attended(task: Task, base: nn.Module, spec: str, *, start: str = "identity", seed: int = 0) -> nn.Module:
    """Return a copy of ``base`` with attention in it, as ``build_model`` makes it; ``base`` stays as it is.

    Args:
        task: What the model is for.
        base: The model without attention.
        spec: What is inserted.
        start: How attention starts.
        seed: Decides the weights of what is inserted.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return insert(base, spec, example=task.example(), start=start_of(start))


def base_model(
    task: Task, model: str, *, pretrained: bool = False, weights: str | Path | None = None
) -> nn.Module:
    """Return a model by its name, made for the task's inputs, without attention."""
    task.expect_model(model)
    options: dict[str, Any] = task.model_options()
    return create_model(model, **options, pretrained=pretrained, weights=weights)


def start_of(start: str) -> Start:
    """Return how attention starts, as ``insert`` takes it.

    Raises:
        OptionError: It is neither ``identity`` nor ``paper``.
    """
    one_of("start", start, ("identity", "paper"))
    return "paper" if start == "paper" else "identity"
