"""What discriminator and generator learn from a batch of pictures with their goals.

Loss     hinge; see ``losses.hinge``.
Shapes   images (B, 3, S, S), conditions (B, K + P) or (B, 0).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.data.posed.posed_feed import PosedBatch
from foveate.tasks.drawn_pictures import condition_or_none
from foveate.tasks.losses.hinge import discriminator_hinge, generator_hinge


def generator_loss(gan: Any, batch: PosedBatch) -> Float[Tensor, ""]:
    """Return the loss of the generator for the goals of a batch."""
    goals = condition_or_none(batch.conditions)
    with _fixed(gan.discriminator):
        return generator_hinge(gan.judge(gan(_noise(gan, batch), goals), goals).float())


def discriminator_loss(gan: Any, batch: PosedBatch, mismatched: float = 0.0) -> Float[Tensor, ""]:
    """Return the loss of the discriminator for real pictures, and for those that are drawn for their goals.

    Args:
        gan: The model.
        batch: Real pictures, shuffled, with their goals.
        mismatched: What part real pictures with the goals of others have beside drawn ones, in [0, 1); the
            goal of each is that of the one before it in the batch.
    """
    goals = condition_or_none(batch.conditions)
    with torch.no_grad():
        fake = gan(_noise(gan, batch), goals).to(batch.images.dtype)
    if goals is None or not mismatched:
        real, drawn = gan.judge_both(batch.images, fake, goals)
        return discriminator_hinge(real.float(), drawn.float())
    real, drawn, wrong = gan.judge_mismatched(batch.images, fake, goals, goals.roll(1, dims=0))
    return discriminator_hinge(real.float(), drawn.float(), wrong.float(), mismatched)


def _noise(gan: Any, batch: PosedBatch) -> Tensor:
    return torch.randn(len(batch), gan.noise, device=batch.images.device)


@contextmanager
def _fixed(module: nn.Module) -> Iterator[None]:
    """Let gradients flow through a module, not to its weights: that spares a third of its backward pass."""
    trained = [p for p in module.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
