"""Detections as a COCO file: images, categories, and an annotation with a score for each box.

Ids of categories are those of the data that the model learnt from, so that the boxes can be compared with its
annotations; the list under ``annotations`` is what COCO's evaluation reads as results.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64


@dataclass(frozen=True, eq=False)
class Found:
    """What was found in a picture.

    Args:
        name: Its file.
        size: Height and width in pixels.
        boxes: float64 (N, 4): left, top, right, bottom.
        scores: float64 (N,), falling.
        labels: int64 (N,), from 0.
    """

    name: str
    size: tuple[int, int]
    boxes: Float64[np.ndarray, "n 4"]
    scores: Float64[np.ndarray, " n"]
    labels: Int64[np.ndarray, " n"]


def coco_file(found: Sequence[Found], classes: Sequence[str], categories: Sequence[int]) -> Mapping[str, Any]:
    """Return what a COCO file of these pictures holds; JSON-able.

    Args:
        found: The pictures; their ids count from 1.
        classes: Names of the classes.
        categories: The id of each.
    """
    images = [
        {"id": number, "file_name": one.name, "height": one.size[0], "width": one.size[1]}
        for number, one in enumerate(found, start=1)
    ]
    notes = [
        note for number, one in enumerate(found, start=1) for note in _annotations(number, one, categories)
    ]
    for number, note in enumerate(notes, start=1):
        note["id"] = number
    named = [{"id": number, "name": name} for number, name in zip(categories, classes, strict=True)]
    return {"images": images, "categories": named, "annotations": notes}


def _annotations(image: int, found: Found, categories: Sequence[int]) -> Iterator[dict[str, Any]]:
    rows = zip(found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True)
    for (left, top, right, bottom), score, label in rows:
        width, height = right - left, bottom - top
        yield {
            "image_id": image,
            "category_id": categories[label],
            "bbox": [left, top, width, height],
            "area": width * height,
            "iscrowd": 0,
            "score": score,
        }
