"""``foveate predict``: what a trained model sees in pictures."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foveate.errors import DataError, OptionError
from foveate.segment.command_options import UNREADABLE, Masks

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
    *images: str,
    max_pixels: int | None = None,
    masks: Masks = Masks(),  # noqa: B008  # frozen
    trust_code: bool = False,
    json: bool = False,
) -> int | None:
    """Classify or segment pictures with the best model of a study, or with one from `foveate train`.

    Args:
        folder: The folder that `foveate compare` or `foveate train` wrote.
        images: Pictures; folders of them; lists of them (.txt with a path a line, .csv with a column path);
            or patterns, such as "photos/**/*.jpg".
        max_pixels: Pixels of the largest picture that is decoded, for files that you trust. Default:
            268435456; with a model that segments, no limit.
        masks: With a model that segments.
        trust_code: Import and run code that the folder names and that is not of foveate, timm or
            torchvision, such as a model of your own.
        json: Print JSON, with the probability of every class, or its share of the pixels.
    """
    from foveate.data.folders.picture_lists import pictures_of
    from foveate.infer.load import is_segmenter, load

    if not images:
        raise DataError("predict: no picture is named. Do: foveate predict FOLDER IMAGE...")
    model: Any = load(folder, trust_code=trust_code)
    pictures = pictures_of(images)
    if is_segmenter(model):
        return masks.write(model, pictures, json=json, max_pixels=max_pixels)
    if masks != Masks():
        raise OptionError(
            f"{folder}: this model classifies whole pictures, and writes no files. Options other than --json "
            "and --max-pixels are for models that segment: leave them out."
        )
    return _classify(model, [picture.path for picture in pictures], max_pixels=max_pixels, json=json)


def _classify(model: Any, paths: Sequence[Path], *, max_pixels: int | None, json: bool) -> int | None:
    """Tell the classes of each picture as soon as they are known; name those that cannot be read."""
    from foveate.cli import output
    from foveate.infer.load import answers

    limit = {} if max_pixels is None else {"max_pixels": max_pixels}
    told: list[dict[str, Any]] = []
    failed = 0
    for path, found in zip(paths, answers(model, paths, **limit), strict=True):
        if isinstance(found, DataError):
            failed += 1
            print(found, file=sys.stderr)
            told.append({"image": str(path), "error": str(found)})
            continue
        ranked = _ranked(found, model.classes)
        told.append({"image": str(path), "classes": dict(ranked)})
        if not json:
            output.say(str(path))
            output.shares(ranked[:SHOWN])
    if json:
        output.machine(told)
    if failed:
        print(f"{failed} of {len(paths)} pictures cannot be read; the others are done.", file=sys.stderr)
    return UNREADABLE if failed else None


def _ranked(probabilities: Any, classes: tuple[str, ...]) -> list[tuple[str, float]]:
    """Return (class, probability), the most probable first."""
    return sorted(zip(classes, probabilities.tolist(), strict=True), key=lambda pair: -pair[1])
