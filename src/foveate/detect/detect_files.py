"""What ``foveate predict`` makes of pictures with a detector: boxes, drawn pictures, and a COCO file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from foveate.data.folders.picture_lists import Picture
from foveate.data.images.decode import read
from foveate.data.images.open_image import Reading
from foveate.data.palette import default_palette
from foveate.detect.coco_results import Found, coco_file
from foveate.detect.draw_boxes import draw_boxes
from foveate.errors import DataError
from foveate.files import replacing, write_json

COCO = "detections.json"

Detect = Callable[[UInt8[np.ndarray, "h w 3"]], tuple[np.ndarray, np.ndarray, np.ndarray]]


@dataclass(frozen=True, eq=False)
class DetectedFile:
    """What came of one picture.

    Args:
        image: Its file.
        found: What was found; None if it could not be read.
        drawn: The picture with boxes that was written, or None.
        error: What was wrong with it.
    """

    image: Path
    found: Found | None = None
    drawn: Path | None = None
    error: str = ""


def detect_files(
    detect: Detect,
    pictures: Sequence[Picture],
    out: Path | None,
    *,
    classes: Sequence[str],
    categories: Sequence[int],
    least: float,
    how: Reading,
) -> Iterator[DetectedFile]:
    """Yield what is found in each picture; write it drawn as it is found, and all of it as COCO in the end.

    Args:
        detect: A picture to boxes, scores and labels, the surest first.
        pictures: Their files.
        out: Folder of the files; nothing is written if None.
        classes: Names of the classes.
        categories: The id that annotations give each.
        least: Score from which on a box is drawn.
        how: How the files are read.

    Raises:
        DataError: A file would be written over an input, or twice.
    """
    places = _places(pictures, out)
    return _each(detect, pictures, places, out, classes, categories, least, how)


def _each(
    detect: Detect,
    pictures: Sequence[Picture],
    places: Sequence[Path | None],
    out: Path | None,
    classes: Sequence[str],
    categories: Sequence[int],
    least: float,
    how: Reading,
) -> Iterator[DetectedFile]:
    palette, done = default_palette(len(classes)), []
    for picture, place in zip(pictures, places, strict=True):
        try:
            pixels = read(picture.path, how)
        except DataError as error:
            yield DetectedFile(picture.path, error=str(error))
            continue
        boxes, scores, labels = detect(pixels)
        found = Found(str(picture.path), (pixels.shape[0], pixels.shape[1]), boxes, scores, labels)
        done.append(found)
        if place is not None:
            shown = scores >= least
            drawn = draw_boxes(
                pixels, boxes[shown], labels[shown], classes=classes, palette=palette, scores=scores[shown]
            )
            with replacing(place) as part, part.open("wb") as file:
                drawn.save(file, "PNG")
        yield DetectedFile(picture.path, found, place)
    if out is not None:
        write_json(out / COCO, coco_file(done, classes, categories))


def _places(pictures: Sequence[Picture], out: Path | None) -> list[Path | None]:
    """Return the file that each picture is drawn into, none of which is a picture or is written twice."""
    if out is None:
        return [None] * len(pictures)
    inputs, owners = {picture.path.resolve() for picture in pictures}, dict[str, Path]()
    found: list[Path | None] = []
    for picture in pictures:
        path = out / picture.place / f"{picture.path.stem}_boxes.png"
        if path.resolve() in inputs:
            raise DataError(f"predict: {path} is one of the pictures. Name another --out.")
        other = owners.setdefault(str(path).casefold(), picture.path)  # some disks know no capitals
        if other != picture.path:
            raise DataError(
                f"predict: {other} and {picture.path} would both be written to {path}. Do them one after the "
                "other, with another --out each."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        found.append(path)
    return found
