"""The boxes of one picture.

Shapes  boxes float64 (N, 4): left, top, right and bottom in pixels of the upright picture; the last two are
        where the box ends, so that a box of one pixel is (x, y, x + 1, y + 1).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64


@dataclass(frozen=True, eq=False)
class Boxes:
    """The boxes of one picture; none is a picture without objects.

    Args:
        boxes: float64 (N, 4).
        labels: The class of each, int64 (N,).
        crowd: Whether it is a group, or too hard: not learnt, and finding it counts neither way, bool (N,).
        area: Square pixels of the object, by which it is small or large: of its outline if known, float64
            (N,).
    """

    boxes: Float64[np.ndarray, "n 4"]
    labels: Int64[np.ndarray, " n"]
    crowd: Bool[np.ndarray, " n"]
    area: Float64[np.ndarray, " n"]

    @classmethod
    def of(
        cls,
        boxes: Sequence[Sequence[float]] | np.ndarray,
        labels: Sequence[int] | np.ndarray,
        crowd: Sequence[bool] | np.ndarray | None = None,
        area: Sequence[float] | np.ndarray | None = None,
    ) -> Boxes:
        """Return boxes, none a crowd unless stated, each as large as its box unless stated (or nan)."""
        corners = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        own = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
        stated = own if area is None else np.asarray(area, dtype=np.float64)
        return cls(
            boxes=corners,
            labels=np.asarray(labels, dtype=np.int64).reshape(-1),
            crowd=np.zeros(len(corners), bool) if crowd is None else np.asarray(crowd, dtype=bool),
            area=np.where(np.isnan(stated), own, stated),
        )

    def __len__(self) -> int:
        return len(self.labels)

    def kept(self, chosen: np.ndarray) -> Boxes:
        """Return some of them."""
        return Boxes(self.boxes[chosen], self.labels[chosen], self.crowd[chosen], self.area[chosen])

    @property
    def digest(self) -> str:
        """A hash of what is stated."""
        total = hashlib.blake2b(digest_size=16)
        for part in (self.boxes, self.labels, self.crowd, self.area):
            total.update(np.ascontiguousarray(part).tobytes())
        return total.hexdigest()
