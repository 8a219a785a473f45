"""``foveate predict``: what a trained model sees in pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foveate.errors import DataError

EXAMPLE = """
    $ foveate predict runs/study cat.jpg
    cat.jpg
      97.1 %  cat
       1.6 %  dog
       0.6 %  fox
"""

SHOWN = 5


def predict(folder: Path, /, *images: Path, json: bool = False) -> None:
    """Classify pictures with the best model of a study, or with a model from `foveate train`.

    Args:
        folder: The folder that `foveate compare` or `foveate train` wrote.
        images: Pictures, in any format that Pillow reads.
        json: Print JSON, with the probability of every class.
    """
    from foveate.cli import output
    from foveate.compare.best import load

    if not images:
        raise DataError("predict: no picture is named. Do: foveate predict FOLDER IMAGE...")
    model: Any = load(folder)
    rows = model.predict(images)
    answers = [(str(path), _ranked(row, model.classes)) for path, row in zip(images, rows, strict=True)]
    if json:
        output.machine([{"image": image, "classes": dict(ranked)} for image, ranked in answers])
        return
    for image, ranked in answers:
        output.say(image)
        for name, probability in ranked[:SHOWN]:
            output.say(f"  {100 * probability:4.1f} %  {name}")


def _ranked(probabilities: Any, classes: tuple[str, ...]) -> list[tuple[str, float]]:
    """Return (class, probability), the most probable first."""
    return sorted(zip(classes, probabilities.tolist(), strict=True), key=lambda pair: -pair[1])
