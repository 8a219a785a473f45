"""What each word of an answer was read from, as a picture: a strip over the photo, or an alignment matrix."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from foveate.errors import OptionError
from foveate.explain.drawing.alignment_matrix import alignment_matrix
from foveate.explain.drawing.drawing import Drawing
from foveate.explain.drawing.word_strip import word_strip
from foveate.tasks.judged import WordReading


def drawn_reading(reading: WordReading, *, name: str, title: str | None = None) -> Drawing | None:
    """Return the picture; None if the model does not say what it read.

    Args:
        reading: The words, and their weights.
        name: Of the drawing.
        title: Above an alignment; the input's name if None. Above a strip are the words.
    """
    weights = np.asarray(reading.weights, np.float64)
    if not weights.size:
        return None
    if reading.read:
        above = reading.name if title is None else title
        return alignment_matrix(weights, read=reading.read, words=reading.words, name=name, title=above)
    if reading.image is None or reading.places is None:
        return None
    rows, columns = reading.places
    maps = weights[:, : rows * columns].reshape(-1, rows, columns)
    elsewhere = weights[:, -1] if weights.shape[1] > rows * columns else None
    return word_strip(
        reading.image,
        reading.words,
        maps,
        elsewhere=elsewhere,
        hard=reading.hard,
        name=name,
        title=" ".join(reading.words),
    )


def write_reading(reading: WordReading, folder: Path, number: int) -> list[Path]:
    """Write the picture of an answer as a PNG, under its number and the input's name; return the paths.

    Raises:
        OptionError: The model does not say what it read.
    """
    letters = "".join(letter if letter.isalnum() else "_" for letter in Path(reading.name).stem[:40])
    drawing = drawn_reading(reading, name=f"{number:04d}_{letters.strip('_') or 'words'}")
    if drawing is None:
        raise OptionError(
            f"--out: {reading.name}: this model does not say what its words were read from, so there is "
            "nothing to draw. Leave --out out."
        )
    return drawing.save(folder, ("png",))
