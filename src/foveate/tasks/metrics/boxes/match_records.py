"""What is kept of each image for the metrics of boxes: one row of numbers, from which any of them follows.

The rows of any images can be put together: a metric of some of them is that of their rows. Each detection
takes four numbers (class, score, and two whole numbers whose bits say at which overlaps and sizes it found
something, or is ignored); behind them stand the numbers of true boxes by class and size.

Shapes  a record is float64 (4 * 100 + 4 * K,).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from foveate.tasks.metrics.boxes.match_boxes import AREAS, MOST, THRESHOLDS, Matched

KEPT = MOST  # detections of an image that a record holds: the surest, over all classes
_PARTS = 4  # numbers a detection
_BITS = len(AREAS) * len(THRESHOLDS)  # 40: a float64 holds 53 exactly


@dataclass(frozen=True, eq=False)
class Matches:
    """The detections of N images, one after the other.

    Args:
        image: The image of each detection (D,), rising.
        labels: Its class (D,).
        scores: How sure it is (D,), in falling order within an image and class.
        found: Whether it found a true box (D, A, T).
        ignored: Whether it counts neither as right nor as wrong (D, A, T).
        truths: True boxes of each image, by class and range of sizes (N, K, A).
    """

    image: Int64[np.ndarray, " d"]
    labels: Int64[np.ndarray, " d"]
    scores: Float64[np.ndarray, " d"]
    found: Bool[np.ndarray, "d 4 10"]
    ignored: Bool[np.ndarray, "d 4 10"]
    truths: Int64[np.ndarray, "n k 4"]

    @classmethod
    def joined(cls, matched: list[Matched]) -> Matches:
        """Return the detections of several images."""
        return cls(
            image=np.repeat(np.arange(len(matched)), [len(one.scores) for one in matched]),
            labels=np.concatenate([one.labels for one in matched]),
            scores=np.concatenate([one.scores for one in matched]),
            found=np.concatenate([one.found for one in matched]),
            ignored=np.concatenate([one.ignored for one in matched]),
            truths=np.stack([one.truths for one in matched]),
        )

    @classmethod
    def of_records(cls, records: Float64[np.ndarray, "n r"]) -> Matches:
        """Return the detections that ``record_of`` packed, one row an image."""
        rows = records[:, : KEPT * _PARTS].reshape(-1, KEPT, _PARTS)
        image, place = np.nonzero(rows[..., 0])
        labels, scores, found, ignored = rows[image, place].T
        truths = records[:, KEPT * _PARTS :].reshape(len(records), -1, len(AREAS))
        return cls(
            image=image,
            labels=labels.astype(np.int64) - 1,
            scores=scores,
            found=_bits(found),
            ignored=_bits(ignored),
            truths=truths.astype(np.int64),
        )

    @property
    def ranks(self) -> Int64[np.ndarray, " d"]:
        """How many detections of its class and image come before each."""
        order = np.lexsort((np.arange(len(self.image)), self.labels, self.image))
        image, label = self.image[order], self.labels[order]
        first = np.ones(len(order), dtype=bool)
        first[1:] = (image[1:] != image[:-1]) | (label[1:] != label[:-1])
        starts = np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
        ranks = np.empty(len(order), dtype=np.int64)
        ranks[order] = np.arange(len(order)) - starts
        return ranks


def record_of(matched: Matched) -> Float64[np.ndarray, " r"]:
    """Return one image's row: its surest detections, and how many true boxes it has."""
    order = np.argsort(-matched.scores, kind="stable")[:KEPT]
    rows = np.zeros((KEPT, _PARTS))
    rows[: len(order), 0] = matched.labels[order] + 1
    rows[: len(order), 1] = matched.scores[order]
    rows[: len(order), 2] = _number(matched.found[order])
    rows[: len(order), 3] = _number(matched.ignored[order])
    return np.concatenate([rows.reshape(-1), matched.truths.reshape(-1).astype(np.float64)])


def width_of(classes: int) -> int:
    """Return how many numbers a record has."""
    return KEPT * _PARTS + classes * len(AREAS)


def _number(bits: Bool[np.ndarray, "n 4 10"]) -> Float64[np.ndarray, " n"]:
    return bits.reshape(len(bits), -1) @ (2.0 ** np.arange(_BITS))


def _bits(numbers: Float64[np.ndarray, " n"]) -> Bool[np.ndarray, "n 4 10"]:
    whole = numbers.astype(np.int64)[:, None] >> np.arange(_BITS)
    return (whole & 1).astype(bool).reshape(-1, len(AREAS), len(THRESHOLDS))
