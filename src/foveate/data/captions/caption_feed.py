"""A feed of pictures, or of their features, with captions as word numbers, in batches of similar length.

Shapes  features float32 (B, N, D); images float32 (B, 3, H, W), normalised; captions int64 (B, T), each row
        ends with the end's number and is padded with 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from foveate.data.batches import HALF, Channels
from foveate.data.captions.caption_data import CaptionData, CaptionSplit
from foveate.data.feed import random_stream
from foveate.data.words.buckets import bucketed
from foveate.data.words.numbered import Numbered
from foveate.data.words.vocabulary import Vocabulary
from foveate.errors import OptionError
from foveate.options import whole

_CHOICE = 2**62  # a stream of random numbers, far from those of the order


class PictureFeatures(Protocol):
    """The features of a split's pictures, in their order."""

    def __len__(self) -> int: ...

    def __getitem__(self, indices: Any, /) -> Float[Tensor, "b n d"]:
        """Return the features of these pictures, float32 (B, N, D)."""
        ...


@dataclass(frozen=True)
class CaptionBatch:
    """Some pictures at once, each with one caption to learn and all to be judged by.

    Args:
        features: float32 (B, N, D), N places of D channels, or None.
        images: float32 (B, 3, H, W), normalised, or None; one of the two is there.
        captions: int64 (B, T), one for each picture with its end, padded.
        references: All captions of each picture, as they are in the file.
        indices: int64 (B,), the items' numbers in the feed.
    """

    features: Float[Tensor, "b n d"] | None
    images: Float[Tensor, "b 3 h w"] | None
    captions: Int64[Tensor, "b t"]
    references: tuple[tuple[str, ...], ...]
    indices: Int64[Tensor, " b"]

    def __len__(self) -> int:
        return len(self.captions)

    @property
    def inputs(self) -> Tensor:
        """What a captioner takes: the features, or else the images."""
        found = self.images if self.features is None else self.features
        assert found is not None
        return found

    def to(self, device: torch.device) -> CaptionBatch:
        """Return the batch on ``device``, itself if it is there."""
        if self.captions.device == device:
            return self
        return CaptionBatch(
            features=None if self.features is None else self.features.to(device),
            images=None if self.images is None else self.images.to(device),
            captions=self.captions.to(device),
            references=self.references,
            indices=self.indices.to(device),
        )


@dataclass(frozen=True, eq=False)
class CaptionFeed:
    """One split of captioned pictures; see ``foveate.data.feed``.

    Args:
        split: The pictures and captions.
        vocabulary: Numbers the captions' words.
        features: Of the split's pictures, in their order; or
        images: the pictures themselves, uint8 (N, 3, H, W).
        every_caption: Whether the items are the captions, so that an epoch has each of them once and a
            picture several times; if not, they are the pictures, and training draws a caption of each.
        mean: What is subtracted from each channel of images in [0, 1].
        std: What each channel is then divided by.

    Raises:
        OptionError: Not just one of ``features`` and ``images`` is given, or it is of another number.
    """

    split: CaptionSplit
    vocabulary: Vocabulary
    features: PictureFeatures | None = None
    images: UInt8[np.ndarray, "n 3 h w"] | None = None
    every_caption: bool = False
    mean: Channels = HALF
    std: Channels = HALF

    def __post_init__(self) -> None:
        given = [found for found in (self.features, self.images) if found is not None]
        if len(given) != 1:
            raise OptionError(f"captions: got {len(given)} of features and images, expected one of the two")
        if len(given[0]) != len(self.split):
            raise OptionError(
                f"captions: features or images of {len(given[0])} pictures for a split of {len(self.split)}. "
                "Give one for each, in the order of the split."
            )

    def __len__(self) -> int:
        return len(self._picture) if self.every_caption else len(self.split)

    @cached_property
    def names(self) -> Sequence[str]:
        """One name an item: the picture's, with the caption's number behind # if captions are the items."""
        if not self.every_caption:
            return self.split.names
        return [
            f"{name}#{number}"
            for name, some in zip(self.split.names, self.split.captions, strict=True)
            for number in range(len(some))
        ]

    def train(self, *, batch_size: int, seed: int, epoch: int, start: int = 0) -> Iterator[CaptionBatch]:
        """Yield the batches of one epoch, each of captions of similar length, in random order.

        Raises:
            OptionError: ``batch_size`` or ``start`` is impossible.
        """
        captions = self._drawn(seed, epoch)
        chosen = bucketed(
            self._numbered.lengths[captions], batch_size=batch_size, seed=seed, epoch=epoch, start=start
        )
        return (self._batch(items, captions[items]) for items in chosen)

    def test(self, batch_size: int) -> Iterator[CaptionBatch]:
        """Yield every item once, in order; a picture comes with its first caption.

        Raises:
            OptionError: ``batch_size`` is impossible.
        """
        whole("batch_size", batch_size)
        captions = np.arange(len(self)) if self.every_caption else self._first
        firsts = range(0, len(self), batch_size)
        parts = (np.arange(first, min(first + batch_size, len(self))) for first in firsts)
        return (self._batch(items, captions[items]) for items in parts)

    @cached_property
    def _numbered(self) -> Numbered:
        return Numbered.of((text for some in self.split.captions for text in some), self.vocabulary)

    @cached_property
    def _counts(self) -> Int64[np.ndarray, " n"]:
        return np.array([len(some) for some in self.split.captions], dtype=np.int64)

    @cached_property
    def _first(self) -> Int64[np.ndarray, " n"]:
        """The number of each picture's first caption."""
        return np.append(0, np.cumsum(self._counts)[:-1]).astype(np.int64)

    @cached_property
    def _picture(self) -> Int64[np.ndarray, " m"]:
        """The picture of each caption."""
        return np.repeat(np.arange(len(self.split)), self._counts)

    def _drawn(self, seed: int, epoch: int) -> Int64[np.ndarray, " n"]:
        """Return the caption of each item in an epoch."""
        if self.every_caption:
            return np.arange(len(self), dtype=np.int64)
        draws = random_stream(seed, epoch, _CHOICE).random(len(self.split))
        return self._first + (draws * self._counts).astype(np.int64)

    def _batch(self, items: Int64[np.ndarray, " b"], captions: Int64[np.ndarray, " b"]) -> CaptionBatch:
        pictures = self._picture[captions]
        return CaptionBatch(
            features=None if self.features is None else self.features[pictures],
            images=None if self.images is None else self._pixels(self.images, pictures),
            captions=self._numbered.padded(captions),
            references=tuple(self.split.captions[picture] for picture in pictures.tolist()),
            indices=torch.from_numpy(items.astype(np.int64)),
        )

    def _pixels(
        self, images: UInt8[np.ndarray, "n 3 h w"], pictures: Int64[np.ndarray, " b"]
    ) -> Float[Tensor, "b 3 h w"]:
        chosen = torch.from_numpy(np.take(images, pictures, axis=0)).float() / 255
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
        return ((chosen - mean) / std).contiguous(memory_format=torch.channels_last)


def caption_feeds(
    data: CaptionData,
    vocabulary: Vocabulary,
    *,
    features: Mapping[str, PictureFeatures] | None = None,
    images: Mapping[str, UInt8[np.ndarray, "n 3 h w"]] | None = None,
    every_caption: bool = True,
    mean: Channels = HALF,
    std: Channels = HALF,
) -> dict[str, CaptionFeed]:
    """Return the splits of the data ready for training.

    Args:
        data: Pictures with captions.
        vocabulary: Numbers the captions' words.
        features: By split, those of its pictures; or
        images: by split, the pictures themselves.
        every_caption: Whether an epoch of train has every caption once, so that a picture with five counts
            five times; if not, it has every picture once, with one of its captions, drawn in each epoch.
            Other splits are judged picture by picture.
        mean: What is subtracted from each channel of images in [0, 1].
        std: What each channel is then divided by.
    """
    return {
        name: CaptionFeed(
            split,
            vocabulary,
            features=None if features is None else features[name],
            images=None if images is None else images[name],
            every_caption=every_caption and name == "train",
            mean=mean,
            std=std,
        )
        for name, split in data.splits.items()
    }
