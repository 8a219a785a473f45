"""``foveate predict``: what a trained model sees in pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foveate.cli.masks import Masks
from foveate.errors import DataError, OptionError

EXAMPLE = """
    $ foveate predict runs/study cat.jpg
    cat.jpg
      97.1 %  cat
       1.6 %  dog
       0.6 %  fox

With a model that segments, the share of the pixels, and files:

    $ foveate predict runs/roads street.jpg --out found
    street.jpg
      41.2 %  road
      35.9 %  building
      22.9 %  sky
      found/street_mask.png
      found/street_overlay.png
"""

SHOWN = 5


def predict(
    folder: Path,
    /,
    *images: Path,
    max_pixels: int | None = None,
    masks: Masks = Masks(),  # noqa: B008  # frozen
    json: bool = False,
) -> int | None:
    """Classify or segment pictures with the best model of a study, or with one from `foveate train`.

    Args:
        folder: The folder that `foveate compare` or `foveate train` wrote.
        images: Pictures, in any format that Pillow reads.
        max_pixels: Pixels of the largest picture that is classified, for files that you trust.
        masks: With a model that segments.
        json: Print JSON, with the probability of every class, or its share of the pixels.
    """
    from foveate.cli import output
    from foveate.compare.trained import load
    from foveate.tasks.base import tasks

    if not images:
        raise DataError("predict: no picture is named. Do: foveate predict FOLDER IMAGE...")
    model: Any = load(folder)
    if tasks[model.config["task"]](model.classes).truth == "mask":
        return masks.write(model, images, json=json)
    if masks != Masks():
        raise OptionError(
            f"{folder}: this model classifies whole pictures, and writes no files. Options other than --json "
            "are for models that segment: leave them out."
        )
    rows = model.predict(images, **({} if max_pixels is None else {"max_pixels": max_pixels}))
    answers = [(str(path), _ranked(row, model.classes)) for path, row in zip(images, rows, strict=True)]
    if json:
        output.machine([{"image": image, "classes": dict(ranked)} for image, ranked in answers])
        return None
    for image, ranked in answers:
        output.say(image)
        output.shares(ranked[:SHOWN])
    return None


def _ranked(probabilities: Any, classes: tuple[str, ...]) -> list[tuple[str, float]]:
    """Return (class, probability), the most probable first."""
    return sorted(zip(classes, probabilities.tolist(), strict=True), key=lambda pair: -pair[1])
