"""The mean and standard deviation with which a model expects its images to be normalised."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import nn

from foveate.errors import OptionError

Triple = tuple[float, float, float]
HALF: Triple = (0.5, 0.5, 0.5)
IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)  # of RGB images in [0, 1]
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
_ATTRIBUTE = "foveate_normalisation"


def model_normalisation(model: nn.Module) -> tuple[Triple, Triple]:
    """Return (mean, std) for images in [0, 1].

    Known for models from ``create_model`` and for timm's own; others get 0.5 and 0.5. A segmenter expects
    what its encoder does. For the name of a model, see ``create.named_normalisation``.

    Raises:
        OptionError: It is not a model, or what it states is impossible: a deviation of 0, or a number that is
            not finite.
    """
    if not isinstance(model, nn.Module):
        raise OptionError(f"model: got a {type(model).__name__}, expected a torch.nn.Module")
    return expect_normalisation(*_stated(model))


def expect_normalisation(mean: Triple, std: Triple) -> tuple[Triple, Triple]:
    """Return both if images can be normalised with them.

    Raises:
        OptionError: They are not three numbers each, one is not finite, or a deviation is not above 0.
    """
    fine = len(mean) == len(std) == 3 and all(math.isfinite(x) for x in (*mean, *std)) and min(std) > 0
    if not fine:
        raise OptionError(
            f"normalisation: got mean={tuple(mean)} and std={tuple(std)}, expected three finite numbers "
            "each, and deviations above 0: images are divided by them. Correct what the model or its "
            "config.json states."
        )
    return mean, std


def _stated(model: nn.Module) -> tuple[Triple, Triple]:
    kept = getattr(model, _ATTRIBUTE, None)
    if isinstance(kept, tuple):
        return kept
    encoder = getattr(model, "encoder", None)
    if isinstance(encoder, nn.Module) and hasattr(encoder, _ATTRIBUTE):
        return model_normalisation(encoder)
    config = getattr(model, "pretrained_cfg", None)
    return _of_config(config) if isinstance(config, Mapping) else (HALF, HALF)


def keep_normalisation(model: nn.Module, mean: Triple, std: Triple) -> None:
    """Store on a model what its weights expect; copies of the model keep it."""
    setattr(model, _ATTRIBUTE, (mean, std))


def torchvision_normalisation(name: str) -> tuple[Triple, Triple]:
    """Return what the default weights of a torchvision model expect; ImageNet's if it has no weights."""
    import torchvision

    weights = next(iter(torchvision.models.get_model_weights(name)), None)
    preset: Any = weights.transforms() if weights is not None else None
    return tuple(getattr(preset, "mean", IMAGENET_MEAN)), tuple(getattr(preset, "std", IMAGENET_STD))


def timm_normalisation(name: str) -> tuple[Triple, Triple]:
    """Return what the default weights of a timm model expect; 0.5 and 0.5 if timm does not say."""
    import timm

    config = timm.get_pretrained_cfg(name)
    return _of_config(config.to_dict()) if config else (HALF, HALF)


def _of_config(config: Mapping[str, Any]) -> tuple[Triple, Triple]:
    return tuple(config.get("mean") or HALF), tuple(config.get("std") or HALF)
