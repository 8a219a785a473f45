"""Batches for training and evaluation, from decoded images.

Order and augmentation of an epoch follow from (seed, epoch) and the sample's number alone: not from the batch
size, from where training resumed, or from what else drew random numbers. Variants of a study see the same
pictures.

Shapes  images float32 (B, 3, S, S), normalised, channels last in memory; targets and indices int64 (B,).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from foveate.data.augment import DRAWS, augmentations, middle
from foveate.data.cache import CachedSplit
from foveate.data.workers import workers
from foveate.errors import OptionError

Channels = tuple[float, float, float]
HALF: Channels = (0.5, 0.5, 0.5)
_ORDER, _AUGMENT = 0, 1  # two independent streams of an epoch
_PIECE = 500_000  # bytes of pixels that a thread works on at a time: they stay in its cache


@dataclass(frozen=True)
class Batch:
    """What a task sees at once.

    Args:
        images: float32 (B, 3, S, S), normalised.
        targets: int64 (B,), the classes.
        indices: int64 (B,), the samples' numbers in their split.
    """

    images: Float32[Tensor, "b 3 s s"]
    targets: Int64[Tensor, " b"]
    indices: Int64[Tensor, " b"]

    def __len__(self) -> int:
        return len(self.targets)


def train_batches(
    split: CachedSplit,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    augment: str,
    size: int | None = None,
    start: int = 0,
    mean: Channels = HALF,
    std: Channels = HALF,
) -> Iterator[Batch]:
    """Yield the batches of one epoch, shuffled and augmented.

    Args:
        split: Decoded images.
        batch_size: Samples a batch. A last, smaller batch is left out unless it is the only one.
        seed: With ``epoch``, decides order and augmentation.
        epoch: Counted from 0.
        augment: A name in ``augmentations``: none, flip, crop, crop_flip, resized_crop.
        size: Pixels a side; what is cached if None, and never more than that.
        start: How many batches to leave out, to resume within an epoch.
        mean: Subtracted from each channel, of values in [0, 1].
        std: Divided by, likewise.

    Raises:
        OptionError: batch size, start, size or augmentation is impossible.
    """
    size = _checked_size(split, size)
    _check_batch_size(batch_size)
    change = augmentations[augment]
    order = epoch_order(len(split), seed, epoch)
    draws = _stream(seed, epoch, _AUGMENT).random((len(split), DRAWS))
    count = steps_per_epoch(len(split), batch_size)
    if not 0 <= start <= count:
        raise OptionError(
            f"batches: start={start}, but an epoch has {count} batches. Start within 0..{count}."
        )

    def images_of(chosen: Int64[np.ndarray, " b"]) -> Tensor:
        return change(_taken(split, chosen), draws[chosen], size)

    def batches() -> Iterator[Batch]:
        with workers() as pool:
            for step in range(start, count):
                chosen = order[step * batch_size : (step + 1) * batch_size]
                yield _batch(pool, split, chosen, images_of, (size, mean, std))

    return batches()  # a generator of its own, so that wrong arguments are told at the call


def eval_batches(
    split: CachedSplit,
    *,
    batch_size: int,
    size: int | None = None,
    mean: Channels = HALF,
    std: Channels = HALF,
) -> Iterator[Batch]:
    """Yield every sample once, in order, unchanged but for the middle ``size`` pixels being cut out.

    Args:
        split: Decoded images.
        batch_size: Samples a batch; the last may be smaller.
        size: Pixels a side; what is cached if None, and never more than that.
        mean: Subtracted from each channel, of values in [0, 1].
        std: Divided by, likewise.

    Raises:
        OptionError: batch size or size is impossible.
    """
    size = _checked_size(split, size)
    _check_batch_size(batch_size)

    def images_of(chosen: Int64[np.ndarray, " b"]) -> Tensor:
        return middle(_taken(split, chosen), size)

    def batches() -> Iterator[Batch]:
        with workers() as pool:
            for first in range(0, len(split), batch_size):
                chosen = np.arange(first, min(first + batch_size, len(split)))
                yield _batch(pool, split, chosen, images_of, (size, mean, std))

    return batches()


def steps_per_epoch(items: int, batch_size: int) -> int:
    """Return how many training batches an epoch has."""
    return max(items // batch_size, min(items, 1))


def epoch_order(items: int, seed: int, epoch: int) -> Int64[np.ndarray, " n"]:
    """Return the order of samples in an epoch."""
    return _stream(seed, epoch, _ORDER).permutation(items)


def _stream(seed: int, epoch: int, stream: int) -> np.random.Generator:
    key = np.array([seed, 2 * epoch + stream], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


def _taken(split: CachedSplit, chosen: Int64[np.ndarray, " b"]) -> Tensor:
    """Return the chosen images, uint8 (B, 3, S, S) with the channels last in memory."""
    return torch.from_numpy(np.take(split.images.transpose(0, 2, 3, 1), chosen, axis=0)).permute(0, 3, 1, 2)


def _batch(
    pool: ThreadPoolExecutor,
    split: CachedSplit,
    chosen: Int64[np.ndarray, " b"],
    images_of: Callable[[Int64[np.ndarray, " b"]], Tensor],
    form: tuple[int, Channels, Channels],
) -> Batch:
    """Fill a batch, each thread a few images at a time."""
    size, mean, std = form
    pixels = np.empty((len(chosen), size, size, 3), dtype=np.float32)
    few = min(-(-len(chosen) // 2), _PIECE // (3 * size**2) + 1)

    def fill(first: int) -> None:
        part = slice(first, first + few)
        _normalise(images_of(chosen[part]), pixels[part], mean, std)

    list(pool.map(fill, range(0, len(chosen), few)))
    return Batch(
        images=torch.from_numpy(pixels).permute(0, 3, 1, 2),
        targets=torch.from_numpy(split.targets[chosen]),
        indices=torch.from_numpy(chosen.astype(np.int64)),
    )


def _normalise(images: Tensor, out: Float32[np.ndarray, "b s s 3"], mean: Channels, std: Channels) -> None:
    """Write (images / 255 - mean) / std, a whole row of pixels at a time."""
    count, size = out.shape[:2]
    spread, centre = np.array(std, dtype=np.float32), np.array(mean, dtype=np.float32)
    scale, shift = np.tile(1 / (255 * spread), size), np.tile(-centre / spread, size)
    rows = images.permute(0, 2, 3, 1).contiguous().numpy().reshape(count, size, size * 3)
    flat = out.reshape(count, size, size * 3)  # a view: ``out`` is contiguous
    np.multiply(rows, scale, out=flat)
    flat += shift


def _checked_size(split: CachedSplit, size: int | None) -> int:
    cached = split.images.shape[-1]
    if size is not None and not 1 <= size <= cached:
        raise OptionError(
            f"batches: size={size}, but the images are cached at {cached} pixels. Cache them at size={size}."
        )
    return cached if size is None else size


def _check_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        raise OptionError(
            f"batches: batch_size={batch_size} holds no image. Write batch_size=64, for example."
        )
