"""Average recall: the share of the true boxes that a few detections an image find.

Formula  recall = found / true boxes, of the surest n detections of each image and class; AR is its mean over
         classes with true boxes and over overlaps of 0.5 to 0.95.
Paper    Hosang et al. What makes for effective detection proposals? TPAMI 2016, as COCO's evaluation has it.
"""

from __future__ import annotations

import numpy as np

from foveate.tasks.metrics.boxes.match_boxes import AREAS
from foveate.tasks.metrics.boxes.match_records import Matches


def average_recall(matches: Matches, *, most: int = 100, area: str = "all") -> float:
    """Return the average recall; nan without true boxes.

    Args:
        matches: Of all images.
        most: Detections of each image and class that count.
        area: Of which objects; a name in ``AREAS``.
    """
    place = list(AREAS).index(area)
    truths = matches.truths[..., place].sum(axis=0)
    right = (matches.found & ~matches.ignored)[:, place]
    counted = right & (matches.ranks < most)[:, None]
    shares = [
        counted[matches.labels == label].sum(axis=0) / truths[label] for label in np.flatnonzero(truths)
    ]
    return float(np.mean(shares)) if shares else float("nan")
