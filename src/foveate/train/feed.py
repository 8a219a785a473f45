"""The training batches that a recipe asks for."""

from __future__ import annotations

from collections.abc import Iterator

from foveate.data.batches import HALF, Batch, Channels, train_batches
from foveate.data.cache import CachedSplit
from foveate.recipe import TrainConfig


def batches_of(
    split: CachedSplit,
    config: TrainConfig,
    epoch: int,
    *,
    start: int = 0,
    mean: Channels = HALF,
    std: Channels = HALF,
) -> Iterator[Batch]:
    """Yield the batches of one epoch, from batch number ``start`` on; see ``train_batches``."""
    return train_batches(
        split,
        batch_size=config.batch_size,
        seed=config.seed,
        epoch=epoch,
        augment=config.augment,
        size=config.size,
        start=start,
        mean=mean,
        std=std,
        crop=config.crop,
        rare=config.rare,
        colour=config.colour,
    )
