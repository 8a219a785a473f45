"""A split whose images are decoded.

Shapes  ``CachedSplit.images`` uint8 (N, 3, H, W), with the channels last in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int64, UInt8

from foveate.data.canvas import Canvas
from foveate.errors import DataError

_VALUES = 256  # of a mask's pixel


@dataclass(frozen=True)
class CachedSplit:
    """A split ready for training.

    Args:
        images: uint8 (N, 3, H, W); usually memory-mapped and read-only. H = W where labels are the truth.
        targets: int64 (N,), the classes; (N, K) where several may hold; all 0 where masks are the truth.
        names: One per item.
        masks: uint8 (N, H, W), likewise, ``IGNORE`` where a pixel does not count; None where labels are the
            truth.
    """

    images: UInt8[np.ndarray, "n 3 h w"]
    targets: Int64[np.ndarray, "n ..."]
    names: tuple[str, ...]
    masks: UInt8[np.ndarray, "n h w"] | None = None

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def picked(
        cls,
        one: CachedSplit,
        other: CachedSplit,
        rows: Int64[np.ndarray, " m"],
        names: tuple[str, ...],
    ) -> CachedSplit:
        """Return images of two splits, copied into memory.

        Args:
            one: The first of the two; both have images of one size.
            other: The second.
            rows: Which images, by their numbers among those of ``one`` and then of ``other``.
            names: What they are called.
        """
        masks = None
        if one.masks is not None and other.masks is not None:
            masks = _picked(one.masks, other.masks, rows)
        # A pixel's channels lie side by side in memory, and go on doing so.
        images = _picked(one.images.transpose(0, 2, 3, 1), other.images.transpose(0, 2, 3, 1), rows)
        return cls(images.transpose(0, 3, 1, 2), _picked(one.targets, other.targets, rows), names, masks)

    @property
    def canvas(self) -> Canvas:
        """Height and width of every image, in pixels."""
        height, width = self.images.shape[2:]
        return height, width

    @property
    def truth(self) -> Int64[np.ndarray, "n ..."] | UInt8[np.ndarray, "n h w"]:
        """What is true of the items: their masks, or else their classes."""
        return self.targets if self.masks is None else self.masks

    @cached_property
    def class_pixels(self) -> Int64[np.ndarray, " 256"]:
        """Pixels of all masks by value: of each class at its number, of what is ignored at ``IGNORE``.

        Raises:
            DataError: labels are the truth.
        """
        if self.masks is None:
            raise DataError("this split has labels, no masks: there are no pixels to count by class.")
        total = np.zeros(_VALUES, dtype=np.int64)
        for mask in self.masks:
            total += np.bincount(mask.reshape(-1), minlength=_VALUES)
        return total


def _picked(one: np.ndarray, other: np.ndarray, rows: Int64[np.ndarray, " m"]) -> np.ndarray:
    """Return rows of two arrays as if one stood below the other, which would take their memory once more."""
    found = np.empty((len(rows), *one.shape[1:]), dtype=one.dtype)
    early = rows < len(one)
    found[early], found[~early] = one[rows[early]], other[rows[~early] - len(one)]
    return found
