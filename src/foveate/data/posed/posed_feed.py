"""A feed of pictures with what can be asked of a generator: the condition of each.

Shapes  images float32 (B, 3, S, S) in [-1, 1]; conditions float32 (B, K + P + T): 1 at the class, then the
        pose, then the numbers of words; truths (B, K + P).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from foveate.data.feed import Feed
from foveate.data.posed.posed_data import PoseColumn


@dataclass(frozen=True)
class PosedBatch:
    """What the task sees at once.

    Args:
        images: float32 (B, 3, S, S) in [-1, 1].
        conditions: What a generator is asked by, float32 (B, K + P + T); (B, 0) for nothing.
        indices: int64 (B,), the pictures' numbers in their split.
        truths: Class and pose of the pictures, float32 (B, K + P), asked for or not; the conditions if None.
    """

    images: Float32[Tensor, "b 3 s s"]
    conditions: Float32[Tensor, "b k"]
    indices: Int64[Tensor, " b"]
    truths: Float32[Tensor, "b t"] | None = None

    @property
    def shown(self) -> Float32[Tensor, "b t"]:
        """Class and pose of the pictures (B, K + P)."""
        return self.conditions if self.truths is None else self.truths

    def __len__(self) -> int:
        return len(self.indices)

    def to(self, device: torch.device) -> PosedBatch:
        """Return the batch on ``device``, itself if it is there."""
        if self.images.device == device:
            return self
        images, conditions = (t.to(device, non_blocking=True) for t in (self.images, self.conditions))
        return PosedBatch(images, conditions, self.indices, self.truths)


@dataclass(frozen=True, eq=False)
class PosedFeed:
    """One split; see ``foveate.data.feed``.

    Args:
        feed: Of the pictures: its batches have images and indices.
        conditions: What each picture is asked for by, float32 (N, K + P).
        targets: The class of each picture, int64 (N,).
        truths: Class and pose of each picture, float32 (N, K + P), where conditions are something else.
    """

    feed: Feed
    conditions: Float32[np.ndarray, "n k"]
    targets: Int64[np.ndarray, " n"]
    truths: Float32[np.ndarray, "n t"] | None = None

    def __len__(self) -> int:
        return len(self.feed)

    @property
    def names(self) -> Sequence[str]:
        """One name a picture."""
        return self.feed.names

    def train(self, *, batch_size: int, seed: int, epoch: int, start: int = 0) -> Iterator[PosedBatch]:
        """Yield the batches of one epoch, shuffled."""
        for batch in self.feed.train(batch_size=batch_size, seed=seed, epoch=epoch, start=start):
            yield self._posed(batch)

    def test(self, batch_size: int) -> Iterator[PosedBatch]:
        """Yield every picture once, in order."""
        for batch in self.feed.test(batch_size):
            yield self._posed(batch)

    def _posed(self, batch: Any) -> PosedBatch:
        rows = batch.indices.numpy()
        truths = None if self.truths is None else torch.from_numpy(self.truths[rows])
        return PosedBatch(batch.images, torch.from_numpy(self.conditions[rows]), batch.indices, truths)


def conditions_of(
    targets: Int64[np.ndarray, " n"],
    poses: Float64[np.ndarray, "n p"],
    classes: int,
    columns: Sequence[PoseColumn],
) -> Float32[np.ndarray, "n k"]:
    """Return conditions: 1 at the class and 0 at the others, then every number of the pose.

    Example:
        >>> column = PoseColumn("angle", True, -45, 45)
        >>> conditions_of(np.array([1]), np.array([[90.0]]), 3, [column]).round(3).tolist()
        [[0.0, 1.0, 0.0, 1.0, 0.0]]
    """
    parts = [column.encoded(values) for column, values in zip(columns, poses.T, strict=True)]
    chosen = np.eye(classes)[targets] if classes else np.zeros((len(targets), 0))
    return np.concatenate([chosen, *parts], axis=1).astype(np.float32)
