"""A feed of large pictures: read as the model looks at them, while the overviews of the next batch are read.

Order and mirroring of an epoch follow from (seed, epoch) and the item's number alone, as in ``batches``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from foveate.data.augment.augmentations import DRAWS, augmentations
from foveate.data.base import Split
from foveate.data.feed import epoch_order, random_stream, steps_per_epoch
from foveate.data.large.read_pictures import ReadPictures
from foveate.data.large.small_squares import SmallSquares
from foveate.errors import OptionError
from foveate.models.normalisation import HALF, Triple
from foveate.options import whole
from foveate.recipe import TrainConfig

_AUGMENT = 1  # the stream of an epoch, as in ``batches``
_FLIP = 2  # the draw that decides whether an image is mirrored, as in ``augmentations``
_OPEN = 512  # pictures whose heads are remembered


@dataclass(frozen=True)
class LargeBatch:
    """What a task sees at once.

    Args:
        images: The pictures, not decoded.
        targets: int64 (B,), the classes; (B, K), 1 for each that holds, where several may.
        indices: int64 (B,), the pictures' numbers in their split.
    """

    images: ReadPictures
    targets: Int64[Tensor, "b ..."]
    indices: Int64[Tensor, " b"]

    def __len__(self) -> int:
        return len(self.targets)

    def to(self, device: torch.device) -> LargeBatch:
        """Return the batch with pictures that are delivered on ``device``, itself if they are."""
        if self.images.device == device and self.targets.device == device:
            return self
        return LargeBatch(self.images.to(device), self.targets.to(device), self.indices)


@dataclass(frozen=True)
class LargeSplit:
    """A split of large pictures as tasks and reports ask for it.

    Args:
        names: One per item.
        targets: int64 (N,), or (N, K) where several classes may hold.
        images: Small squares of the pictures, uint8 (3, S, S), by number, for who draws them.
        boxes: Item -> boxes of what decides its label (n, 4), if the data knows.
    """

    names: tuple[str, ...]
    targets: Int64[np.ndarray, "n ..."]
    images: SmallSquares
    boxes: Callable[[int], Int64[np.ndarray, "n 4"]] | None = None
    masks: None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def truth(self) -> Int64[np.ndarray, "n ..."]:
        """What is true of the items: their classes."""
        return self.targets


@dataclass(frozen=True, eq=False)
class LargeFeed:
    """One split of large pictures; see ``foveate.data.feed``.

    Args:
        source: The split as it was opened.
        recipe: Says whether training mirrors pictures.
        mean: What is subtracted from each channel of pictures in [0, 1].
        std: What each channel is then divided by.
        side: Of the small squares that reports draw, in pixels.

    Raises:
        OptionError: The recipe crops pictures or changes their colours, for which they would be read whole.
    """

    source: Split
    recipe: TrainConfig = TrainConfig()  # noqa: RUF009  # frozen
    mean: Triple = HALF
    std: Triple = HALF
    side: int = 224
    split: LargeSplit = field(init=False)
    asked: set[float] = field(default_factory=set, repr=False)

    def __post_init__(self) -> None:
        expect_large_recipe(self.recipe)
        assert self.source.pictures is not None
        opened = lru_cache(_OPEN)(self.source.pictures)
        split = LargeSplit(
            self.source.names, self.source.targets, SmallSquares(opened, self.side), self.source.boxes
        )
        object.__setattr__(self, "split", split)

    def __len__(self) -> int:
        return len(self.source)

    @property
    def names(self) -> Sequence[str]:
        """One name a picture."""
        return self.source.names

    @property
    def look(self) -> Callable[[int], Bool[np.ndarray, "h w"]] | None:
        """Item -> where the evidence is, on the whole picture; None if the data does not say."""
        return self.source.look

    def taken(self, items: Sequence[int]) -> ReadPictures:
        """Return some pictures by number, as a batch has them."""
        return self._batch(np.asarray(items, dtype=np.int64), None).images

    def train(self, *, batch_size: int, seed: int, epoch: int, start: int = 0) -> Iterator[LargeBatch]:
        """Yield the batches of one epoch, shuffled and, if the recipe says so, mirrored.

        Raises:
            OptionError: Batch size or start is impossible.
        """
        whole("batch_size", batch_size)
        order = epoch_order(len(self), seed, epoch)
        count = steps_per_epoch(len(self), batch_size)
        if not 0 <= start <= count:
            raise OptionError(
                f"batches: start={start}, but an epoch has {count} batches. Start within 0..{count}."
            )
        mirrored = None
        if augmentations[self.recipe.augment].flips:
            mirrored = random_stream(seed, epoch, _AUGMENT).random((len(self), DRAWS))[:, _FLIP] < 0.5
        steps = range(start, count)
        return self._batches((order[step * batch_size : (step + 1) * batch_size] for step in steps), mirrored)

    def test(self, batch_size: int) -> Iterator[LargeBatch]:
        """Yield every picture once, in order.

        Raises:
            OptionError: The batch size is impossible.
        """
        whole("batch_size", batch_size)
        firsts = range(0, len(self), batch_size)
        parts = (np.arange(first, min(first + batch_size, len(self))) for first in firsts)
        return self._batches(parts, None)

    def _batches(
        self, parts: Iterable[Int64[np.ndarray, " b"]], mirrored: Bool[np.ndarray, " n"] | None
    ) -> Iterator[LargeBatch]:
        """Yield batches, each after its follower has begun to be read."""
        before: LargeBatch | None = None
        for chosen in parts:
            batch = self._batch(chosen, mirrored)
            for scale in tuple(self.asked):
                batch.images.expect(scale)
            if before is not None:
                yield before
            before = batch
        if before is not None:
            yield before

    def _batch(self, chosen: Int64[np.ndarray, " b"], mirrored: Bool[np.ndarray, " n"] | None) -> LargeBatch:
        opened = self.split.images.pictures
        pictures = ReadPictures(
            [lambda item=item: opened(item) for item in chosen.tolist()],  # type: ignore[misc]
            self.mean,
            self.std,
            None if mirrored is None else mirrored[chosen],
            asked=self.asked,
        )
        targets = torch.from_numpy(self.source.targets[chosen])
        return LargeBatch(pictures, targets, torch.from_numpy(chosen.astype(np.int64)))


def expect_large_recipe(recipe: TrainConfig) -> None:
    """Raise unless a recipe can be carried out on pictures that are not decoded.

    Raises:
        OptionError: It crops or scales pictures, or changes their colours.
    """
    change = augmentations[recipe.augment]
    if change.scales or change.shifts:
        raise OptionError(
            f"augment: got {recipe.augment}, but pictures that are read in parts can only be mirrored. Write "
            "--augment flip, or none."
        )
    if recipe.colour:
        raise OptionError(
            f"colour: got {recipe.colour}, but the colours of pictures that are read in parts are not "
            "changed. Leave it out."
        )
