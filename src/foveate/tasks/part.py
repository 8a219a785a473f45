"""A model as a task sees it: by its name, and by the parts that train in turns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from foveate.options import positive, whole


@dataclass(frozen=True)
class Part:
    """A part of a model with its own optimizer.

    Args:
        module: The model, or a part of it.
        every: It is trained at every n-th step: 2 for a generator whose discriminator takes two steps.
        lr: Its learning rate as a multiple of the recipe's.
        betas: Decay rates of AdamW's moments.

    Raises:
        OptionError: ``every`` is not a whole number above 0, or ``lr`` is not above 0.
    """

    module: nn.Module
    every: int = 1
    lr: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)

    def __post_init__(self) -> None:
        whole("every", self.every)
        positive("lr", self.lr)


@dataclass(frozen=True)
class Network:
    """A model with its name.

    Args:
        name: As ``create_model`` takes it.
        model: The module, without attention.
        pretrained: Whether it has published weights.
        weights: The file that its weights were loaded from, if any.
        size: Side of the images that was requested, in pixels, if any.
    """

    name: str
    model: nn.Module
    pretrained: bool = False
    weights: str | Path | None = None
    size: int | None = None
