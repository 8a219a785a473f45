"""A feed of images with what is true of them: decoded once, augmented and normalised batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8

from foveate.data.batches import HALF, Batch, Channels, eval_batches, train_batches
from foveate.data.cached_split import CachedSplit
from foveate.recipe import TrainConfig


@dataclass(frozen=True)
class ImageFeed:
    """One split of images; see ``foveate.data.feed``.

    Args:
        split: Decoded images and their truth.
        recipe: Says how training images are augmented and cropped, and their size if not the stored one.
        mean: What is subtracted from each channel of images in [0, 1].
        std: What each channel is then divided by.
        look: Item number -> where the evidence is, bool (H, W), if the data knows.
        palette: A colour for each class, uint8 (K, 3), where masks are learnt.
    """

    split: CachedSplit
    recipe: TrainConfig = TrainConfig()  # noqa: RUF009  # frozen
    mean: Channels = HALF
    std: Channels = HALF
    look: Callable[[int], Bool[np.ndarray, "h w"]] | None = None
    palette: UInt8[np.ndarray, "k 3"] | None = None

    def __len__(self) -> int:
        return len(self.split)

    @property
    def names(self) -> Sequence[str]:
        """One name an image."""
        return self.split.names

    def train(self, *, batch_size: int, seed: int, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of one epoch, shuffled and augmented."""
        recipe = self.recipe
        return train_batches(
            self.split,
            batch_size=batch_size,
            seed=seed,
            epoch=epoch,
            augment=recipe.augment,
            size=recipe.size,
            start=start,
            mean=self.mean,
            std=self.std,
            crop=recipe.crop,
            rare=recipe.rare,
            colour=recipe.colour,
        )

    def test(self, batch_size: int) -> Iterator[Batch]:
        """Yield every image once, in order."""
        return eval_batches(
            self.split, batch_size=batch_size, size=self.recipe.size, mean=self.mean, std=self.std
        )
