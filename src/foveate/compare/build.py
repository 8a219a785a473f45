"""Models of a study: for one seed, all variants have the same weights where they share them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from foveate.compare.plan import StudyPlan
from foveate.data.canvas import Canvas
from foveate.infer.saved import SavedModel
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


def rebuild(saved: SavedModel) -> nn.Module:
    """Return the model that the description of a saved model names, its weights not yet loaded.

    Call it within ``foveate.trust.reading``: the description comes from a file.
    """
    with torch.random.fork_rng(devices=[]):  # first weights are drawn, and replaced
        model = base_model(saved.model, len(saved.classes), pretrained=saved.pretrained)
        if saved.spec is None:
            return model
        return insert(model, saved.spec, example=example(saved.canvas), start=saved.start)


def start_of(start: str) -> Start:
    """Return how attention starts, as ``insert`` takes it.

    Raises:
        OptionError: It is neither ``identity`` nor ``paper``.
    """
    one_of("start", start, ("identity", "paper"))
    return "paper" if start == "paper" else "identity"
