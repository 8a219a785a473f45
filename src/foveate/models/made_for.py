"""Which size of images a model was made for."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from foveate.models.names import resolve

LARGEST_OWN = 64  # pixels; foveate's own networks are made for small images
USUAL = 224  # pixels, where a model does not state it


def made_for(name: str, model: nn.Module) -> int:
    """Return the side of the images that a model was made for, in pixels.

    Args:
        name: What ``create_model`` was asked for.
        model: What it returned.
    """
    stated = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None) or {}
    if isinstance(stated, Mapping) and stated.get("input_size"):
        return int(stated["input_size"][-1])
    return LARGEST_OWN if resolve(name)[0] == "foveate" else USUAL


def may_have_published_weights(name: str) -> bool:
    """Return whether a file of weights may hold published ones: foveate's own networks have none."""
    return resolve(name)[0] in ("timm", "torchvision")
