"""A metric of boxes on whole lists, as ``fv.score`` takes them: one mapping an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from foveate.data.boxes.boxes import Boxes
from foveate.errors import DataError, ShapeError
from foveate.tasks.metrics.boxes.average_precision import parse_box_metric
from foveate.tasks.metrics.boxes.match_boxes import Detected, match_boxes
from foveate.tasks.metrics.boxes.match_records import Matches


def score_boxes(name: str, predictions: Sequence[Any] | Any, truths: Sequence[Any] | Any) -> float:
    """Return a metric of boxes, a fraction of 1; nan without true boxes.

    Args:
        name: ``map``, ``map50`` or ``map75``, with options in brackets.
        predictions: For each image ``boxes`` (n, 4), ``scores`` (n,) and ``labels`` (n,), from 0.
        truths: For each image ``boxes`` and ``labels``, and ``crowd`` and ``area`` if known.

    Raises:
        ShapeError: They are not such mappings, or differ in number.
        DataError: A label is below 0, or a number is not finite.

    Example:
        >>> true = [{"boxes": [[0, 0, 10, 10]], "labels": [0]}]
        >>> found = [{"boxes": [[0, 0, 10, 8]], "scores": [0.9], "labels": [0]}]
        >>> round(score_boxes("map", found, true), 3)
        0.7
    """
    metric, given, true = parse_box_metric(name), list(predictions), list(truths)
    if len(given) != len(true) or not true:
        raise ShapeError(
            f"score: got {len(given)} predictions and {len(true)} truths, expected one for each."
        )
    found = [_detected(one) for one in given]
    boxes = [
        Boxes.of(_part(one, "boxes"), _part(one, "labels"), one.get("crowd"), one.get("area")) for one in true
    ]
    labels = np.concatenate([*(one.labels for one in found), *(one.labels for one in boxes)])
    if labels.size and labels.min() < 0:
        raise DataError(f"score: got the label {labels.min()}, expected numbers from 0.")
    classes = int(labels.max(initial=0)) + 1
    matched = [match_boxes(one, other, classes) for one, other in zip(found, boxes, strict=True)]
    return metric.value(Matches.joined(matched))


def _detected(one: Any) -> Detected:
    corners = np.asarray(_part(one, "boxes"), dtype=np.float64).reshape(-1, 4)
    scores = np.asarray(_part(one, "scores"), dtype=np.float64)
    labels = np.asarray(_part(one, "labels"), dtype=np.int64)
    if not len(corners) == len(scores) == len(labels):
        raise ShapeError(
            f"score: got {len(corners)} boxes, {len(scores)} scores and {len(labels)} labels of one image, "
            "expected one of each."
        )
    if not (np.isfinite(corners).all() and np.isfinite(scores).all()):
        raise DataError("score: a box or score is not a number. Check the model for overflow.")
    return Detected(corners, scores, labels)


def _part(one: Any, name: str) -> Any:
    if not isinstance(one, Mapping) or name not in one:
        raise ShapeError(f"score: expected a mapping of each image with {name}, got {type(one).__name__}.")
    return one[name].detach().cpu().numpy() if isinstance(one[name], Tensor) else one[name]
