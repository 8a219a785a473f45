"""Which detected boxes of one image find a true one, at every overlap and for every size of object.

As COCO's evaluation does it: class by class, detections in order of falling score; each takes the free true
box of its class that it overlaps most, if the overlap (intersection over union) reaches the threshold. A
crowd region, and a true box outside the range of sizes, is *ignored*: whoever finds it counts neither as
right nor as wrong, and it is taken only if no other true box will do. A crowd may be found many times, and
overlap with it is the share of the detected box that lies inside. A detection that finds nothing and has
itself a size outside the range is ignored too.

Paper   Lin et al. Microsoft COCO: Common Objects in Context. ECCV 2014; the rules are its evaluation's.
Shapes  boxes float64 (N, 4): x1, y1, x2, y2 in pixels; thresholds T = 10; ranges of sizes A = 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from foveate.data.boxes.boxes import Boxes

THRESHOLDS = np.linspace(0.5, 0.95, 10)
AREAS = {  # square pixels of an object, both ends included
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
MOST = 100  # detections of one class in one image that count


@dataclass(frozen=True, eq=False)
class Detected:
    """The detections of one image.

    Args:
        boxes: float64 (N, 4).
        scores: float64 (N,), higher is surer.
        labels: int64 (N,), numbers of classes.
    """

    boxes: Float64[np.ndarray, "n 4"]
    scores: Float64[np.ndarray, " n"]
    labels: Int64[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.scores)

    def best(self, most: int) -> Detected:
        """Return the surest ones in order of falling score; of equals, the earlier ones."""
        order = np.argsort(-self.scores, kind="stable")[:most]
        return Detected(self.boxes[order], self.scores[order], self.labels[order])


@dataclass(frozen=True, eq=False)
class Matched:
    """What became of the detections of one image.

    Args:
        scores: (N,), in falling order within each class.
        labels: (N,).
        found: Whether each found a true box (N, A, T).
        ignored: Whether it counts neither as right nor as wrong (N, A, T).
        truths: True boxes that count, of each class and range of sizes (K, A).
    """

    scores: Float64[np.ndarray, " n"]
    labels: Int64[np.ndarray, " n"]
    found: Bool[np.ndarray, "n 4 10"]
    ignored: Bool[np.ndarray, "n 4 10"]
    truths: Int64[np.ndarray, "k 4"]


def match_boxes(detected: Detected, true: Boxes, classes: int) -> Matched:
    """Return which detections of an image find a true box.

    Args:
        detected: Of one image; the surest 100 of each class count.
        true: Its true boxes.
        classes: K.

    Example:
        >>> corners = np.array([[0.0, 0.0, 10.0, 10.0]])
        >>> true = Boxes.of(corners, [0])
        >>> near = Detected(corners + [0, 0, 0, 4], np.array([0.9]), np.array([0]))
        >>> match_boxes(near, true, 1).found[0, 0].astype(int).tolist()  # an overlap of 10 / 14
        [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]
    """
    parts, truths = [], np.zeros((classes, len(AREAS)), dtype=np.int64)
    skipped = _outside(true.area) | true.crowd[:, None]  # G, A
    np.add.at(truths, true.labels, ~skipped)
    for label in np.unique(detected.labels):
        chosen = detected.labels == label
        some = Detected(detected.boxes[chosen], detected.scores[chosen], detected.labels[chosen]).best(MOST)
        own = true.labels == label
        parts.append((some, *_matched(some.boxes, true.boxes[own], true.crowd[own], skipped[own])))
    if not parts:
        nothing = np.zeros((0, len(AREAS), len(THRESHOLDS)), dtype=bool)
        return Matched(np.zeros(0), np.zeros(0, dtype=np.int64), nothing, nothing, truths)
    return Matched(
        scores=np.concatenate([some.scores for some, _, _ in parts]),
        labels=np.concatenate([some.labels for some, _, _ in parts]),
        found=np.concatenate([found for _, found, _ in parts]),
        ignored=np.concatenate([ignored for _, _, ignored in parts]),
        truths=truths,
    )


def overlaps(
    given: Float64[np.ndarray, "n 4"], true: Float64[np.ndarray, "m 4"], crowd: Bool[np.ndarray, " m"]
) -> Float64[np.ndarray, "n m"]:
    """Return intersection over union of every pair; with a crowd, over the given box alone."""
    low = np.maximum(given[:, None, :2], true[None, :, :2])
    high = np.minimum(given[:, None, 2:], true[None, :, 2:])
    shared = (high - low).clip(0).prod(axis=2)
    own, other = areas_of(given)[:, None], areas_of(true)[None]
    union = np.where(crowd[None], own, own + other - shared)
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def areas_of(boxes: Float64[np.ndarray, "n 4"]) -> Float64[np.ndarray, " n"]:
    """Return width times height of boxes."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _outside(area: Float64[np.ndarray, " n"]) -> Bool[np.ndarray, "n 4"]:
    low, high = np.array(list(AREAS.values())).T
    return (area[:, None] < low) | (area[:, None] > high)


def _matched(
    given: Float64[np.ndarray, "n 4"],
    true: Float64[np.ndarray, "m 4"],
    crowd: Bool[np.ndarray, " m"],
    skipped: Bool[np.ndarray, "m 4"],
) -> tuple[Bool[np.ndarray, "n 4 10"], Bool[np.ndarray, "n 4 10"]]:
    """Return which detections of one class, surest first, found a true box, and which are ignored."""
    shape = (len(given), len(AREAS), len(THRESHOLDS))
    found, ignored = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    overlap = overlaps(given, true, crowd)
    enough = overlap[:, None, :] >= np.minimum(THRESHOLDS, 1 - 1e-10)[:, None]  # n, T, m
    taken = np.zeros((*shape[1:], len(true)), dtype=bool)  # A, T, m
    passed_over = skipped.T[:, None, :]  # A, 1, m
    for row in np.flatnonzero(enough.any(axis=(1, 2))):
        free = enough[row][None] & (~taken | crowd)
        counts, rest = free & ~passed_over, free & passed_over
        wanted = np.where(counts.any(axis=2, keepdims=True), counts, rest)
        # Of equal overlaps, the last one is taken.
        place = len(true) - 1 - np.where(wanted, overlap[row], -1.0)[..., ::-1].argmax(axis=2)
        hit = wanted.any(axis=2)
        found[row] = hit
        ignored[row] = hit & np.take_along_axis(
            np.broadcast_to(passed_over, wanted.shape), place[..., None], axis=2
        ).squeeze(2)
        area, threshold = np.nonzero(hit)
        taken[area, threshold, place[hit]] = True
    ignored |= ~found & _outside(areas_of(given))[:, :, None]
    return found, ignored
