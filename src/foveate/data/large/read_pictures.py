"""A batch of large pictures as a model takes it: read from files, normalised, mirrored in training.

Files are read by threads, a picture each; the windows of a picture together. Overviews can be read ahead.

Shapes  overviews float32 (B, 3, h, w), windows float32 (B, K, 3, h, w); 0 outside of a picture.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache, cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float32, UInt8
from torch import Tensor

from foveate.data.large.keep_overviews import overview_of
from foveate.data.large.large_picture import Box, LargePicture
from foveate.errors import ShapeError
from foveate.large_pictures import LargePictures, Size, covered, overview_size, reduced_to
from foveate.models.normalisation import HALF, Triple

_READERS = 4  # threads at least: reading waits for the disk


@dataclass(frozen=True, eq=False)
class ReadPictures(LargePictures):
    """Pictures that are read when they are looked at.

    Args:
        openers: Return the pictures; they may be called more than once.
        mean: What is subtracted from each channel of pictures in [0, 1].
        std: What each channel is then divided by.
        mirrored: Which pictures are mirrored left to right (B,); none if None.
        at: Where overviews and windows are delivered.
        asked: Scales of overviews that were asked for; a feed shares it between its batches.
    """

    openers: Sequence[Callable[[], LargePicture]]
    mean: Triple = HALF
    std: Triple = HALF
    mirrored: Bool[np.ndarray, " b"] | None = None
    at: torch.device = torch.device("cpu")  # noqa: RUF009  # immutable
    asked: set[float] = field(default_factory=set)
    _ahead: dict[float, list[Future[np.ndarray]]] = field(default_factory=dict, repr=False)

    @property
    def channels(self) -> int:
        """Three: red, green, blue."""
        return 3

    @cached_property
    def pictures(self) -> list[LargePicture]:
        """The pictures, opened: their heads are read."""
        return list(_pool().map(lambda opener: opener(), self.openers))

    @property
    def sizes(self) -> Sequence[Size]:
        """Height and width of each picture in pixels."""
        return [picture.size for picture in self.pictures]

    @property
    def device(self) -> torch.device:
        """Where overviews and windows are delivered."""
        return self.at

    def __len__(self) -> int:
        return len(self.openers)

    def __getitem__(self, rows: slice) -> ReadPictures:
        mirrored = None if self.mirrored is None else self.mirrored[rows]
        return replace(self, openers=self.openers[rows], mirrored=mirrored, _ahead={})

    def expect(self, scale: float) -> None:
        """Begin to read overviews at this scale."""
        if scale not in self._ahead:
            self._ahead[scale] = [_pool().submit(_overview, opener, scale) for opener in self.openers]

    def overview(self, scale: float) -> Float32[Tensor, "b 3 h w"]:
        """Return the whole pictures, scaled down; smaller ones begin at the top left, and 0 follows.

        Raises:
            DataError: A picture cannot be read.
        """
        self.asked.add(scale)
        self.expect(scale)
        found = [future.result() for future in self._ahead[scale]]
        height, width = (max(view.shape[side] for view in found) for side in (0, 1))
        out = np.zeros((len(found), height, width, 3), dtype=np.float32)
        for row, (place, view) in enumerate(zip(out, found, strict=True)):
            self._normalised(self._turned(row, view), place[: view.shape[0], : view.shape[1]])
        return torch.from_numpy(out).permute(0, 3, 1, 2).contiguous().to(self.at)

    def windows(
        self, corners: Tensor, size: Size, scale: float = 1.0
    ) -> Float32[Tensor, "b k 3 height width"]:
        """Return windows into the pictures.

        Raises:
            DataError: A picture cannot be read.
            ShapeError: The corners are not (B, K, 2).
        """
        if corners.ndim != 3 or corners.shape[::2] != (len(self), 2):
            raise ShapeError(
                f"windows: got corners of shape {tuple(corners.shape)}, expected ({len(self)}, K, 2): row "
                f"and column for each of {len(self)} pictures"
            )
        large = covered(size, scale)
        places = corners.detach().cpu().tolist()
        pictures = self.pictures  # opened here: a thread of the pool must not wait for others of it
        parts = _pool().map(self._windows_of, range(len(self)), pictures, places, [large] * len(self))
        out = torch.stack([self._reduced(part, size) for part in parts])
        return out.to(self.at)

    def to(self, device: torch.device, non_blocking: bool = False) -> ReadPictures:
        """Return pictures whose overviews and windows come on ``device``."""
        device = torch.device(device)
        return self if device == self.at else replace(self, at=device)

    def _windows_of(
        self, row: int, picture: LargePicture, corners: Sequence[Sequence[int]], size: Size
    ) -> Float32[np.ndarray, "k h w 3"]:
        height, width = size
        whole_height, whole_width = picture.size
        out = np.zeros((len(corners), height, width, 3), dtype=np.float32)
        boxes, places = [], []
        for place, (top, seen) in zip(out, corners, strict=True):
            left = whole_width - seen - width if self._is_mirrored(row) else seen
            first, last = max(top, 0), min(top + height, whole_height)
            start, stop = max(left, 0), min(left + width, whole_width)
            if first < last and start < stop:
                boxes.append((first, start, last - first, stop - start))
                shown = start if not self._is_mirrored(row) else whole_width - stop
                places.append(place[first - top : last - top, shown - seen : shown - seen + stop - start])
        for place, pixels in zip(places, _read(picture, boxes), strict=True):
            self._normalised(self._turned(row, pixels), place)
        return out

    def _is_mirrored(self, row: int) -> bool:
        return self.mirrored is not None and bool(self.mirrored[row])

    def _turned(self, row: int, pixels: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
        return pixels[:, ::-1] if self._is_mirrored(row) else pixels

    def _normalised(self, pixels: UInt8[np.ndarray, "h w 3"], out: Float32[np.ndarray, "h w 3"]) -> None:
        spread, centre = (np.array(values, dtype=np.float32) for values in (self.std, self.mean))
        np.multiply(pixels, 1 / (255 * spread), out=out)
        out -= centre / spread

    @staticmethod
    def _reduced(windows: Float32[np.ndarray, "k h w 3"], size: Size) -> Tensor:
        return reduced_to(torch.from_numpy(windows).permute(0, 3, 1, 2), size).contiguous()


def _read(picture: LargePicture, boxes: Sequence[Box]) -> list[UInt8[np.ndarray, "h w 3"]]:
    return picture.read(boxes) if boxes else []


def _overview(opener: Callable[[], LargePicture], scale: float) -> UInt8[np.ndarray, "h w 3"]:
    picture = opener()
    return overview_of(picture, overview_size(picture.size, scale))


@cache
def _pool() -> ThreadPoolExecutor:
    count = max(_READERS, os.cpu_count() or 1)
    return ThreadPoolExecutor(max_workers=count, thread_name_prefix="foveate-pictures")
