"""Batches for training and evaluation, from decoded images.

Order and augmentation of an epoch follow from (seed, epoch) and the sample's number alone: not from the batch
size, from where training resumed, or from what else drew random numbers. Variants of a study see the same
pictures.

Shapes  images float32 (B, 3, H, W), normalised, channels last in memory; targets int64 (B,) with labels, and
        (B, H, W) with masks; indices int64 (B,).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from foveate.data.augment.augmentations import DRAWS, augmentations, middle
from foveate.data.augment.colour_jitter import TINT_DRAWS, tinted
from foveate.data.augment.joint_crops import JOINT_DRAWS, Jointly
from foveate.data.cached_split import CachedSplit
from foveate.data.canvas import Canvas
from foveate.data.feed import epoch_order, random_stream, steps_per_epoch
from foveate.data.workers import workers
from foveate.errors import OptionError
from foveate.models.normalisation import expect_normalisation

Channels = tuple[float, float, float]
Part = tuple[UInt8[np.ndarray, "b h w 3"], UInt8[np.ndarray, "b h w"] | None]  # images, and masks if any
HALF: Channels = (0.5, 0.5, 0.5)
_AUGMENT = 1  # a stream of an epoch, beside that of the order
_COLOURS = 2**63  # and a third, far from both
_PIECE = 500_000  # bytes of pixels that a thread works on at a time: they stay in its cache


@dataclass(frozen=True)
class Batch:
    """What a task sees at once.

    Args:
        images: float32 (B, 3, H, W), normalised.
        targets: int64 (B,), the classes; (B, K), 1 for each that holds, where several may; with masks (B, H,
            W), the class of each pixel, ``IGNORE`` where it does not count.
        indices: int64 (B,), the samples' numbers in their split.
    """

    images: Float32[Tensor, "b 3 h w"]
    targets: Int64[Tensor, "b ..."]
    indices: Int64[Tensor, " b"]

    def __len__(self) -> int:
        return len(self.targets)

    def to(self, device: torch.device) -> Batch:
        """Return the batch on ``device``, itself if it is there."""
        if self.images.device == device:
            return self
        images, targets = (t.to(device, non_blocking=True) for t in (self.images, self.targets))
        return Batch(images=images, targets=targets, indices=self.indices)


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
    crop: int | Canvas | None = None,
    rare: float = 0.0,
    colour: float = 0.0,
) -> Iterator[Batch]:
    """Yield the batches of one epoch, shuffled and augmented; image and mask jointly where there are masks.

    Args:
        split: Decoded images.
        batch_size: Samples a batch. A last, smaller batch is left out unless it is the only one.
        seed: With ``epoch``, decides order and augmentation.
        epoch: Counted from 0.
        augment: A name in ``augmentations``: none, flip, crop, crop_flip, resized_crop. With masks the last
            one scales by 0.5 to 2 before it cuts.
        size: With labels the side of what is cut out, in pixels; what is cached if None, and never more than
            that. With masks it can only be the canvas's short side: see ``crop``.
        start: How many batches to leave out, to resume within an epoch.
        mean: Subtracted from each channel, of values in [0, 1].
        std: Divided by, likewise.
        crop: With masks, height and width of what is cut out, or the side of a square, in pixels; the whole
            canvas if None.
        rare: With masks, share of the crops, in [0, 1], that are laid over a pixel of a class drawn among
            those in the image, by inverse frequency in the split. Changes nothing for none and flip.
        colour: Largest relative change of brightness, contrast and saturation, in [0, 1].

    Raises:
        OptionError: batch size, start, size, crop, rare, colour or augmentation is impossible.
    """
    shape = _shape(split, size)
    expect_normalisation(mean, std)
    _check_batch_size(batch_size)
    _check_share("rare", rare)
    _check_share("colour", colour)
    change = augmentations[augment]
    order = epoch_order(len(split), seed, epoch)
    count = steps_per_epoch(len(split), batch_size)
    if not 0 <= start <= count:
        raise OptionError(
            f"batches: start={start}, but an epoch has {count} batches. Start within 0..{count}."
        )
    if split.masks is None:
        if crop is not None or rare:
            raise OptionError("batches: crop and rare are for masks; this data has labels. Use size.")
        draws = random_stream(seed, epoch, _AUGMENT).random((len(split), DRAWS))

        def cut(chosen: Int64[np.ndarray, " b"]) -> Part:
            return _rows(change(_taken(split, chosen), draws[chosen], shape[0])), None

    else:
        masks, images = split.masks, split.images.transpose(0, 2, 3, 1)
        shape = shape if crop is None else _checked_crop(split, crop)
        frequency = split.class_pixels if rare else np.zeros(0, dtype=np.int64)
        jointly = Jointly(augmentations[augment], shape, rare, frequency)
        draws = random_stream(seed, epoch, _AUGMENT).random((len(split), JOINT_DRAWS))

        def cut(chosen: Int64[np.ndarray, " b"]) -> Part:
            return jointly(images, masks, draws, chosen)

    hues = random_stream(seed, epoch, _COLOURS).random((len(split), TINT_DRAWS)) if colour else None

    def part(chosen: Int64[np.ndarray, " b"]) -> Part:
        pictures, truths = cut(chosen)
        return pictures if hues is None else tinted(pictures, hues[chosen], colour), truths

    def batches() -> Iterator[Batch]:
        with workers() as pool:
            for step in range(start, count):
                chosen = order[step * batch_size : (step + 1) * batch_size]
                yield _batch(pool, split, chosen, part, (shape, mean, std))

    return batches()  # a generator of its own, so that wrong arguments raise at the call


def eval_batches(
    split: CachedSplit,
    *,
    batch_size: int,
    size: int | None = None,
    mean: Channels = HALF,
    std: Channels = HALF,
) -> Iterator[Batch]:
    """Yield every sample once, in order, unchanged; with labels, but for the middle being cut out.

    Args:
        split: Decoded images.
        batch_size: Samples a batch; the last may be smaller.
        size: With labels the side of what is cut out, in pixels; what is cached if None, and never more than
            that. With masks it can only be the canvas's short side.
        mean: Subtracted from each channel, of values in [0, 1].
        std: Divided by, likewise.

    Raises:
        OptionError: batch size or size is impossible.
    """
    shape = _shape(split, size)
    expect_normalisation(mean, std)
    _check_batch_size(batch_size)

    def part(chosen: Int64[np.ndarray, " b"]) -> Part:
        pictures = _rows(
            middle(_taken(split, chosen), shape[0]) if split.masks is None else _taken(split, chosen)
        )
        return pictures, None if split.masks is None else split.masks[chosen]

    def batches() -> Iterator[Batch]:
        with workers() as pool:
            for first in range(0, len(split), batch_size):
                chosen = np.arange(first, min(first + batch_size, len(split)))
                yield _batch(pool, split, chosen, part, (shape, mean, std))

    return batches()


def _taken(split: CachedSplit, chosen: Int64[np.ndarray, " b"]) -> Tensor:
    """Return the chosen images, uint8 (B, 3, H, W) with the channels last in memory."""
    return torch.from_numpy(np.take(split.images.transpose(0, 2, 3, 1), chosen, axis=0)).permute(0, 3, 1, 2)


def _rows(images: Tensor) -> UInt8[np.ndarray, "b h w 3"]:
    return images.permute(0, 2, 3, 1).contiguous().numpy()


def _batch(
    pool: ThreadPoolExecutor,
    split: CachedSplit,
    chosen: Int64[np.ndarray, " b"],
    part: Callable[[Int64[np.ndarray, " b"]], Part],
    form: tuple[Canvas, Channels, Channels],
) -> Batch:
    """Fill a batch, each thread a few images at a time."""
    (height, width), mean, std = form
    pixels = np.empty((len(chosen), height, width, 3), dtype=np.float32)
    masked = split.masks is not None
    truth = np.empty((len(chosen), height, width), dtype=np.int64) if masked else split.targets[chosen]
    few = min(-(-len(chosen) // 2), _PIECE // (3 * height * width) + 1)

    def fill(first: int) -> None:
        some = slice(first, first + few)
        pictures, masks = part(chosen[some])
        _normalise(pictures, pixels[some], mean, std)
        if masks is not None:
            truth[some] = masks

    list(pool.map(fill, range(0, len(chosen), few)))
    return Batch(
        images=torch.from_numpy(pixels).permute(0, 3, 1, 2),
        targets=torch.from_numpy(truth),
        indices=torch.from_numpy(chosen.astype(np.int64)),
    )


def _normalise(
    images: UInt8[np.ndarray, "b h w 3"], out: Float32[np.ndarray, "b h w 3"], mean: Channels, std: Channels
) -> None:
    """Write (images / 255 - mean) / std, a whole row of pixels at a time."""
    count, height, width = out.shape[:3]
    spread, centre = np.array(std, dtype=np.float32), np.array(mean, dtype=np.float32)
    scale, shift = np.tile(1 / (255 * spread), width), np.tile(-centre / spread, width)
    rows = images.reshape(count, height, width * 3)
    flat = out.reshape(count, height, width * 3)  # a view: ``out`` is contiguous
    np.multiply(rows, scale, out=flat)
    flat += shift


def _shape(split: CachedSplit, size: int | None) -> Canvas:
    """Return height and width of what comes out if no crop is asked for."""
    cached = min(split.canvas)
    if split.masks is not None:
        if size not in (None, cached):
            raise OptionError(
                f"batches: size={size}, but the masks are cached on a canvas of {split.canvas}. Cache them "
                f"at size={size}; crop={size} cuts out parts in training."
            )
        return split.canvas
    if size is not None and not 1 <= size <= cached:
        raise OptionError(
            f"batches: size={size}, but the images are cached at {cached} pixels. Cache them at size={size}."
        )
    return (size or cached,) * 2


def _checked_crop(split: CachedSplit, crop: int | Canvas) -> Canvas:
    height, width = (crop, crop) if isinstance(crop, int) else crop
    if not (1 <= height <= split.canvas[0] and 1 <= width <= split.canvas[1]):
        raise OptionError(
            f"batches: crop={crop} does not fit into the canvas of {split.canvas}. Cache larger, or cut less."
        )
    return height, width


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise OptionError(f"batches: {name}={value} is not in [0, 1]. Write {name}=0.5, for example.")


def _check_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        raise OptionError(
            f"batches: batch_size={batch_size} holds no image. Write batch_size=64, for example."
        )
