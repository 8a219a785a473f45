"""What a model expects of pictures, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

Numbers = tuple[float, float, float]


@dataclass(frozen=True)
class PictureForm:
    """How pictures become the input of a model; ``data.prepare_pictures`` does it.

    Args:
        size: Height and width in pixels.
        mean: Of images in [0, 1], subtracted from each channel.
        std: What each channel is then divided by.
        cut: Whether the middle square is cut out, as where whole pictures are classified; else a picture is
            laid on a canvas of ``size``, and nothing is cut off.
        levels: The values that become black and white in files of more than eight bits; each file's own if
            None.
    """

    size: tuple[int, int]
    mean: Numbers
    std: Numbers
    cut: bool = True
    levels: tuple[float, float] | None = None
