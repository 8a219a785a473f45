"""Pictures too large to decode or to process whole: an overview of each, and windows at full resolution.

What a model that selects patches asks of its input, whether that lies in memory or in files of gigapixels.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from foveate.errors import ShapeError

Size = tuple[int, int]  # height and width in pixels


class LargePictures(ABC):
    """A batch of B pictures that need not be decoded; they may differ in size.

    Values are as a network takes them, normalised; whatever lies outside of a picture is 0.
    """

    @property
    @abstractmethod
    def channels(self) -> int:
        """How many channels each picture has."""

    @property
    @abstractmethod
    def sizes(self) -> Sequence[Size]:
        """Height and width of each picture in pixels of full resolution."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where overviews and windows are delivered."""

    @property
    def dtype(self) -> torch.dtype:
        """Of overviews and windows."""
        return torch.float32

    @property
    def canvas(self) -> Size:
        """Height and width that hold every one of the pictures, in pixels of full resolution."""
        return max(height for height, _ in self.sizes), max(width for _, width in self.sizes)

    @property
    def of_one_size(self) -> bool:
        """Whether all of them have the same size."""
        return len(set(self.sizes)) <= 1

    @property
    def number(self) -> int:
        """B: what ``len`` returns, or what stands for it while the batch is left open, as in an export."""
        return len(self.sizes)

    def __len__(self) -> int:
        return int(self.number)

    @abstractmethod
    def __getitem__(self, rows: slice) -> Self:
        """Return some of the pictures."""

    @abstractmethod
    def overview(self, scale: float) -> Tensor:
        """Return the whole pictures, scaled down.

        Args:
            scale: Side of an overview over side of the picture, in (0, 1].

        Returns:
            (B, C, h, w), h and w those of ``overview_size`` for the ``canvas``; smaller pictures begin at the
            top left, and 0 follows.
        """

    @abstractmethod
    def windows(self, corners: Tensor, size: Size, scale: float = 1.0) -> Tensor:
        """Return windows into the pictures.

        Args:
            corners: int64 (B, K, 2), row and column of each window's top left pixel at full resolution; may
                lie outside.
            size: Height and width of the result in its own pixels.
            scale: Of the result, in (0, 1]: at 0.5 a window covers twice its ``size``, see ``covered``.

        Returns:
            (B, K, C, height, width); 0 outside of a picture.
        """

    def expect(self, scale: float) -> None:  # noqa: B027  # a hint, which may be ignored
        """Say that overviews at this scale will be asked for, so that they can be read ahead."""

    def _check_windows(self, corners: Tensor, size: Size, scale: float) -> None:
        """Raise a ShapeError unless these are windows into this many pictures."""
        check_windows(corners, size, scale, len(self))

    @abstractmethod
    def to(self, device: torch.device, non_blocking: bool = False) -> Self:
        """Return pictures whose overviews and windows come on ``device``; themselves if they do already."""

    def pin_memory(self) -> Self:
        """Return the pictures with what is in memory pinned; themselves where that is nothing."""
        return self


class PicturesInMemory(LargePictures):
    """Pictures of one size that are a tensor already.

    Args:
        pixels: (B, C, H, W), floating point, as the network takes them.
        overviews: Scale -> (B, C, h, w), where an overview is known; others are computed, by bilinear
            interpolation with anti-aliasing.

    Raises:
        ShapeError: The pixels are not such a tensor, or an overview has another size.

    Example:
        >>> pictures = PicturesInMemory(torch.rand(2, 3, 300, 200))
        >>> pictures.overview(0.1).shape, pictures.windows(torch.zeros(2, 5, 2).long(), (50, 50)).shape
        (torch.Size([2, 3, 30, 20]), torch.Size([2, 5, 3, 50, 50]))
    """

    def __init__(self, pixels: Tensor, overviews: Mapping[float, Tensor] | None = None) -> None:
        if not isinstance(pixels, Tensor) or pixels.ndim != 4 or not pixels.is_floating_point():
            got = (
                f"{tuple(pixels.shape)} of {pixels.dtype}"
                if isinstance(pixels, Tensor)
                else type(pixels).__name__
            )
            raise ShapeError(f"pictures: got {got}, expected floating point images (B, C, H, W)")
        self.pixels, self.overviews = pixels, dict(overviews or {})
        for scale, given in self.overviews.items():
            expected = (*pixels.shape[:2], *overview_size(pixels.shape[2:], scale))
            if given.shape != expected:
                raise ShapeError(
                    f"pictures: got an overview at {scale} of shape {tuple(given.shape)}, expected {expected}"
                )

    @property
    def channels(self) -> int:
        """How many channels each picture has."""
        return self.pixels.shape[1]

    @property
    def sizes(self) -> Sequence[Size]:
        """Height and width of each picture in pixels."""
        return [(self.pixels.shape[2], self.pixels.shape[3])] * len(self.pixels)

    @property
    def device(self) -> torch.device:
        """Where the pixels are."""
        return self.pixels.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the pixels."""
        return self.pixels.dtype

    @property
    def canvas(self) -> Size:
        """Height and width in pixels."""
        return self.pixels.shape[2], self.pixels.shape[3]

    @property
    def of_one_size(self) -> bool:
        """Whether all of them have the same size."""
        return True

    @property
    def number(self) -> int:
        """How many pictures there are."""
        return self.pixels.shape[0]

    def __getitem__(self, rows: slice) -> PicturesInMemory:
        return PicturesInMemory(self.pixels[rows], {s: x[rows] for s, x in self.overviews.items()})

    def overview(self, scale: float) -> Tensor:
        """Return the pictures scaled down (B, C, h, w)."""
        size = overview_size(self.pixels.shape[2:], scale)
        known = self.overviews.get(scale)
        return reduced_to(self.pixels, size) if known is None else known

    def windows(self, corners: Tensor, size: Size, scale: float = 1.0) -> Tensor:
        """Return windows into the pictures (B, K, C, height, width)."""
        check_windows(corners, size, scale, self.pixels.shape[0])
        large = covered(size, scale)
        cut = _cut(self.pixels, corners.to(self.device), large)
        return (
            cut if large == tuple(size) else reduced_to(cut.flatten(0, 1), size).unflatten(0, cut.shape[:2])
        )

    def to(self, device: torch.device, non_blocking: bool = False) -> PicturesInMemory:
        """Return the pictures on ``device``; themselves if they are there."""
        if self.pixels.device == torch.device(device):
            return self
        moved = {s: x.to(device, non_blocking=non_blocking) for s, x in self.overviews.items()}
        return PicturesInMemory(self.pixels.to(device, non_blocking=non_blocking), moved)

    def pin_memory(self) -> PicturesInMemory:
        """Return the pictures in memory that a GPU can read."""
        return PicturesInMemory(
            self.pixels.pin_memory(), {s: x.pin_memory() for s, x in self.overviews.items()}
        )


def as_pictures(x: object) -> LargePictures:
    """Return pictures that a model was given: themselves, or a tensor (B, C, H, W) wrapped.

    Raises:
        ShapeError: They are neither.
    """
    return x if isinstance(x, LargePictures) else PicturesInMemory(x)  # type: ignore[arg-type]


def overview_size(size: Sequence[int], scale: float) -> Size:
    """Return height and width of a picture's overview, at least 1 pixel each.

    Example:
        >>> overview_size((1500, 1000), 0.12)
        (180, 120)
    """
    expect_scale(scale)
    height, width = size
    return max(1, math.floor(height * scale + 0.5)), max(1, math.floor(width * scale + 0.5))


def covered(size: Sequence[int], scale: float) -> Size:
    """Return height and width that a window of ``size`` at ``scale`` covers, in pixels of full resolution.

    Example:
        >>> covered((50, 50), 0.25)
        (200, 200)
    """
    height, width = size
    return max(1, round(height / scale)), max(1, round(width / scale))


def check_windows(corners: Tensor, size: Size, scale: float, pictures: int) -> None:
    """Raise unless these are windows into this many pictures.

    Raises:
        ShapeError: The corners are not whole numbers (B, K, 2), or size or scale is impossible.
    """
    expect_scale(scale)
    whole = corners.dtype in (torch.int64, torch.int32)
    if corners.ndim != 3 or corners.shape[0] != pictures or corners.shape[2] != 2 or not whole:
        raise ShapeError(
            f"windows: got corners of shape {tuple(corners.shape)} and {corners.dtype}, expected "
            f"({pictures}, K, 2) of torch.int64: row and column for each of {pictures} pictures"
        )
    if len(size) != 2 or min(size) < 1:
        raise ShapeError(f"windows: got size {size}, expected height and width of at least 1 pixel")


def expect_scale(scale: float) -> None:
    """Raise unless ``scale`` shrinks a picture.

    Raises:
        ShapeError: It is not in (0, 1].
    """
    if not 0 < scale <= 1:
        raise ShapeError(f"scale: got {scale!r}, expected a number above 0 and of at most 1")


def reduced_to(x: Tensor, size: Size) -> Tensor:
    """Return images (B, C, H, W) at a smaller size, by bilinear interpolation with anti-aliasing."""
    if tuple(x.shape[2:]) == tuple(size):
        return x
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    return F.interpolate(wide, size, mode="bilinear", antialias=True, align_corners=False).to(x.dtype)


def _cut(pixels: Tensor, corners: Tensor, size: Size) -> Tensor:
    """Return windows (B, K, C, h, w) of full resolution."""
    height, width = pixels.shape[2:]
    rows = corners[..., 0:1].long() + torch.arange(size[0], device=pixels.device)  # (B, K, h)
    columns = corners[..., 1:2].long() + torch.arange(size[1], device=pixels.device)  # (B, K, w)
    inside = ((rows >= 0) & (rows < height)).unsqueeze(3) & ((columns >= 0) & (columns < width)).unsqueeze(2)
    flat = rows.clamp(0, height - 1).unsqueeze(3) * width + columns.clamp(0, width - 1).unsqueeze(2)
    index = flat.flatten(1).unsqueeze(1).expand(-1, pixels.shape[1], -1)  # (B, C, K*h*w)
    cut = pixels.flatten(2).gather(2, index).unflatten(2, flat.shape[1:]).transpose(1, 2)
    return cut * inside.unsqueeze(2)
