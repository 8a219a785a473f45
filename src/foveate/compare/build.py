"""Models of a study: for one seed, all variants have the same weights where they share them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from foveate.compare.plan import StudyPlan
from foveate.data.canvas import Canvas
from foveate.insert.surgery import Start, insert
from foveate.models import create_model
from foveate.options import one_of


def build(plan: StudyPlan, spec: str | None, seed: int) -> nn.Module:
    """Return the model of one variant with its first weights.

    The base model is made first, right after seeding; what is inserted draws from a stream of its own.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        base = base_model(plan.model, len(plan.classes), pretrained=plan.pretrained, weights=plan.weights)
        return (
            base
            if spec is None
            else insert(base, spec, example=example(plan.size), start=start_of(plan.start))
        )


def base_model(
    name: str, classes: int, *, pretrained: bool = False, weights: str | Path | None = None
) -> nn.Module:
    """Return the model without attention."""
    return create_model(name, classes=classes, pretrained=pretrained, weights=weights)


def example(size: Canvas, images: int = 2) -> Tensor:
    """Return images (B, 3, H, W) that a model can be tried on; always the same."""
    noise = torch.rand(images, 3, *size, generator=torch.Generator().manual_seed(0))
    return (noise - 0.5).contiguous(memory_format=torch.channels_last)


def rebuild(config: Mapping[str, Any]) -> nn.Module:
    """Return the model that a ``config.json`` of a saved model describes, its weights not yet loaded."""
    with torch.random.fork_rng(devices=[]):  # first weights are drawn, and replaced
        model = base_model(str(config["model"]), len(config["classes"]))
        if config["spec"] is None:
            return model
        start = start_of(str(config["start"]))
        return insert(model, str(config["spec"]), example=example(config_size(config)), start=start)


def config_size(config: Mapping[str, Any]) -> Canvas:
    """Return height and width of the images that a saved model was trained on."""
    height, width = (config["size"],) * 2 if isinstance(config["size"], int) else config["size"]
    return int(height), int(width)


def start_of(start: str) -> Start:
    """Return how attention starts, as ``insert`` takes it.

    Raises:
        OptionError: It is neither ``identity`` nor ``paper``.
    """
    one_of("start", start, ("identity", "paper"))
    return "paper" if start == "paper" else "identity"
