"""How long a run is."""

from __future__ import annotations

from dataclasses import dataclass

from foveate.data.feed import steps_per_epoch
from foveate.recipe import TrainConfig


@dataclass(frozen=True)
class Budget:
    """The length of a run.

    Args:
        batches: Batches per epoch.
        per_epoch: Steps per epoch: fewer than batches if gradients are accumulated.
        steps: Steps of all epochs, which the schedule spans.
        stop: Steps to take: ``steps``, or fewer by ``max_steps``.
    """

    batches: int
    per_epoch: int
    steps: int
    stop: int

    @classmethod
    def of(cls, config: TrainConfig, items: int) -> Budget:
        """Return the budget of a recipe for this many training images."""
        batches = steps_per_epoch(items, config.batch_size)
        per_epoch = -(-batches // config.accumulate)
        steps = config.epochs * per_epoch
        return cls(batches, per_epoch, steps, min(steps, config.max_steps or steps))
