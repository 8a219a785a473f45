"""A feed of pictures with their boxes: read as they are needed, each at its own size.

Order and augmentation follow from seed, epoch and the picture's number alone.

Shapes  images float32 (3, H, W) in [0, 1]; boxes float32 (N, 4) in pixels; labels int64 (N,), from 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from foveate.data.augment.augmentations import DRAWS, augmentations
from foveate.data.augment.box_changes import changed
from foveate.data.augment.colour_jitter import TINT_DRAWS, tinted
from foveate.data.base import Split
from foveate.data.boxes.boxes import Boxes
from foveate.data.feed import epoch_order, random_stream, steps_per_epoch
from foveate.data.workers import workers
from foveate.errors import OptionError
from foveate.recipe import TrainConfig

_AUGMENT = 1  # a stream of an epoch, beside that of the order
_COLOURS = 2**63  # and a third, far from both
_MOST_BYTES = 2**28  # of drawn pictures that are kept


@dataclass(frozen=True, eq=False)
class BoxItem:
    """A picture as a model gets it.

    Args:
        image: float32 (3, H, W) in [0, 1].
        boxes: float32 (N, 4): those that are learnt; crowds are not.
        labels: int64 (N,).
    """

    image: Float32[Tensor, "3 h w"]
    boxes: Float32[Tensor, "n 4"]
    labels: Int64[Tensor, " n"]


@dataclass(frozen=True, eq=False)
class BoxBatch:
    """What the task sees at once.

    Args:
        items: The pictures.
        truths: The boxes of each as the data states them; after augmentation too.
        indices: The pictures' numbers in their split.
    """

    items: tuple[BoxItem, ...]
    truths: tuple[Boxes, ...]
    indices: Int64[np.ndarray, " b"]

    def __len__(self) -> int:
        return len(self.items)

    def to(self, device: torch.device) -> BoxBatch:
        """Return the batch on ``device``; the truths, which are compared there, stay in memory."""
        if self.items[0].image.device == device:
            return self
        moved = (
            BoxItem(*(part.to(device, non_blocking=True) for part in (one.image, one.boxes, one.labels)))
            for one in self.items
        )
        return replace(self, items=tuple(moved))


@dataclass(frozen=True, eq=False)
class BoxFeed:
    """One split; see ``foveate.data.feed``.

    Args:
        split: The pictures.
        boxes: Of each.
        recipe: Says how training pictures are augmented.

    Raises:
        UnknownNameError: There is no such augmentation.
    """

    split: Split
    boxes: tuple[Boxes, ...]
    recipe: TrainConfig = TrainConfig()  # noqa: RUF009  # frozen

    def __post_init__(self) -> None:
        _ = augmentations[self.recipe.augment]

    def __len__(self) -> int:
        return len(self.split)

    @property
    def names(self) -> Sequence[str]:
        """One name a picture."""
        return self.split.names

    def train(self, *, batch_size: int, seed: int, epoch: int, start: int = 0) -> Iterator[BoxBatch]:
        """Yield the batches of one epoch, shuffled and augmented.

        Raises:
            OptionError: ``batch_size`` or ``start`` is impossible.
        """
        count = steps_per_epoch(len(self), batch_size) if batch_size > 0 else 0
        if not 0 <= start <= count or not count:
            raise OptionError(
                f"batches: got batch_size={batch_size} and start={start}, but an epoch has {count} batches."
            )
        order = epoch_order(len(self), seed, epoch)
        draws = random_stream(seed, epoch, _AUGMENT).random((len(self), DRAWS))
        colour, change = self.recipe.colour, augmentations[self.recipe.augment]
        hues = random_stream(seed, epoch, _COLOURS).random((len(self), TINT_DRAWS))

        def item(number: int) -> BoxItem:
            pixels = self._load(number)
            if colour:
                pixels = tinted(pixels[None], hues[number : number + 1], colour)[0]
            one = self._learnt(number)
            corners = torch.from_numpy(one.boxes).float()
            image, corners, stays = changed(_planes(pixels), corners, change, draws[number])
            return BoxItem(_scaled(image), corners[stays], torch.from_numpy(one.labels)[stays])

        chosen = [order[step * batch_size : (step + 1) * batch_size] for step in range(start, count)]
        return self._batches(chosen, item)

    def test(self, batch_size: int) -> Iterator[BoxBatch]:
        """Yield every picture once, in order, unchanged."""

        def item(number: int) -> BoxItem:
            one = self._learnt(number)
            image = _scaled(_planes(self._load(number)))
            return BoxItem(image, torch.from_numpy(one.boxes).float(), torch.from_numpy(one.labels))

        every = np.arange(len(self))
        firsts = range(0, len(self), batch_size)
        return self._batches([every[first : first + batch_size] for first in firsts], item)

    def _load(self, number: int) -> UInt8[np.ndarray, "h w 3"]:
        return self.split.load(number) if self._made is None else self._made[number]

    @cached_property
    def _made(self) -> UInt8[np.ndarray, "n h w 3"] | None:
        """All pictures, where they are drawn many at a time and are not too large."""
        many = self.split.many
        if many is None or not len(self) or len(self) * many(0, 1).nbytes > _MOST_BYTES:
            return None
        return many(0, len(self))

    def _learnt(self, number: int) -> Boxes:
        one = self.boxes[number]
        return one.kept(~one.crowd)

    def _batches(
        self, chosen: Sequence[Int64[np.ndarray, " b"]], item: Callable[[int], BoxItem]
    ) -> Iterator[BoxBatch]:
        with workers() as pool:
            for numbers in chosen:
                items = tuple(pool.map(item, numbers.tolist()))
                yield BoxBatch(items, tuple(self.boxes[number] for number in numbers), numbers)


def _planes(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def _scaled(image: Tensor) -> Tensor:
    return image.float() / 255
