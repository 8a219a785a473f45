"""A trained detector on the user's pictures: boxes with names, and what a command prints and writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from foveate.data.folders.picture_lists import pictures_of
from foveate.data.images.open_image import MOST_PIXELS
from foveate.detect.command_options import USUAL
from foveate.detect.detect_files import COCO, DetectedFile, detect_files
from foveate.errors import DataError, ShapeError
from foveate.options import between, checked
from foveate.running import device_of, eval_no_grad
from foveate.tasks.judged import Told
from foveate.tasks.metrics.boxes.match_boxes import Detected
from foveate.tasks.metrics.boxes.match_records import KEPT
from foveate.tasks.picture_inputs import Pixels, listed, opened, reading_of

_PARTS = ("boxes", "scores", "labels")


def boxes_of(name: str, found: object) -> list[Mapping[str, Tensor]]:
    """Return a detector's output: for each image boxes, labels and scores.

    Raises:
        ShapeError: It is something else.
    """
    fine = isinstance(found, list) and all(
        isinstance(one, Mapping) and all(isinstance(one.get(part), Tensor) for part in _PARTS)
        for one in found
    )
    if not fine:
        raise ShapeError(
            f"{name}: returned a {type(found).__name__}, expected a list with boxes, labels and scores of "
            "each image, as torchvision's detectors do. Choose faster_rcnn, fcos, retinanet or one of "
            "torchvision's."
        )
    return found  # type: ignore[return-value]


def found_in(model: nn.Module, images: list[Tensor]) -> list[Detected]:
    """Return what a model finds in images float32 (3, H, W), with classes from 0, without the background."""
    return [_detected(one) for one in boxes_of(type(model).__name__, model(images))]


def _detected(found: Mapping[str, Tensor]) -> Detected:
    boxes, scores, labels = (found[part].detach().double().cpu().numpy() for part in _PARTS)
    real = labels > 0
    return Detected(boxes[real], scores[real], labels[real].astype(np.int64) - 1)


def found_boxes(
    model: nn.Module,
    inputs: object,
    carried: Mapping[str, Any],
    *,
    least_score: float = USUAL,
    max_pixels: int = MOST_PIXELS,
    **options: Any,
) -> list[dict[str, Any]]:
    """Return the boxes in each picture.

    Args:
        model: Trained.
        inputs: See ``picture_inputs.listed``.
        carried: The inputs of the task.
        least_score: Score from which on a box counts, 0 to 1.
        max_pixels: Pixels of the largest file that is decoded.
        options: None further.

    Returns:
        For each picture ``boxes`` float64 (N, 4), left, top, right and bottom in its pixels, ``labels``, the
        names of their classes, and ``scores`` float64 (N,), falling.
    """
    checked("predict", found_boxes, {"least_score": least_score, "max_pixels": max_pixels, **options})
    least = between("least_score", least_score, 0.0, 1.0)
    found = []
    for pixels in opened(listed(inputs), None, reading_of(carried, max_pixels)):
        if isinstance(pixels, DataError):
            raise pixels
        boxes, scores, labels = _detect(model, pixels)
        sure = scores >= least
        names = [carried["classes"][label] for label in labels[sure].tolist()]
        found.append({"boxes": boxes[sure], "labels": names, "scores": scores[sure]})
    return found


def tell_boxes(
    model: nn.Module,
    words: Sequence[str],
    carried: Mapping[str, Any],
    *,
    out: Path | None = None,
    least_score: float = USUAL,
    max_pixels: int = MOST_PIXELS,
    **options: Any,
) -> Iterator[Told]:
    """Yield the boxes in every picture, and the files that were written."""
    given = {"out": out, "least_score": least_score, "max_pixels": max_pixels, **options}
    checked("predict", tell_boxes, given)
    least = between("least_score", least_score, 0.0, 1.0)
    found = detect_files(
        lambda pixels: _detect(model, pixels),
        pictures_of(words),
        out,
        classes=carried["classes"],
        categories=carried["categories"],
        least=least,
        how=reading_of(carried, max_pixels),
    )
    return _told(found, carried["classes"], least, out)


def _detect(model: nn.Module, pixels: Pixels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    image = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).float() / 255
    with eval_no_grad(model):
        one = found_in(model, [image.to(device_of(model))])[0].best(KEPT)
    return one.boxes, one.scores, one.labels


def _told(
    found: Iterator[DetectedFile], classes: Sequence[str], least: float, out: Path | None
) -> Iterator[Told]:
    for file in found:
        name = str(file.image)
        if file.found is None:
            yield Told(name, (file.error,), {"image": name, "error": file.error}, failed=True)
            continue
        rows = [
            {"class": classes[label], "score": score, "box": [round(side, 2) for side in box]}
            for label, score, box in zip(
                file.found.labels.tolist(), file.found.scores.tolist(), file.found.boxes.tolist(), strict=True
            )
            if score >= least
        ]
        lines = [_line(row) for row in rows] or [f"  nothing with a score of {least:g} or more"]
        written = {} if file.drawn is None else {"drawn": str(file.drawn)}
        lines += [f"  {path}" for path in written.values()]
        coco = {} if out is None else {"coco": str(out / COCO)}
        yield Told(name, tuple(lines), {"image": name, "boxes": rows, **written, **coco})


def _line(row: Mapping[str, Any]) -> str:
    left, top, right, bottom = (round(side) for side in row["box"])
    return f"  {100 * row['score']:4.1f} %  {row['class']}  {left},{top} to {right},{bottom}"
