"""Boxes drawn on a picture, each in the colour of its class and with its name.

Shapes  image uint8 (H, W, 3); boxes float (N, 4), left, top, right, bottom in pixels; palette uint8 (K, 3).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int64, UInt8
from PIL import Image, ImageDraw

from foveate.segment.drawing import font_for

SHORTEST = 320  # pixels of the short side of what is drawn: smaller pictures are enlarged by the pixel


def draw_boxes(
    image: UInt8[np.ndarray, "h w 3"],
    boxes: Float[np.ndarray, "n 4"],
    labels: Int64[np.ndarray, " n"],
    *,
    classes: Sequence[str],
    palette: UInt8[np.ndarray, "k 3"],
    scores: Float[np.ndarray, " n"] | None = None,
    dashed: Sequence[bool] | None = None,
) -> Image.Image:
    """Return the picture with boxes; the least sure lie undermost.

    Args:
        image: The picture.
        boxes: What is drawn.
        labels: The class of each.
        classes: Their names.
        palette: A colour for each class.
        scores: How sure each is, 0 to 1, which is written too; None for true boxes.
        dashed: Which are drawn with dashes, such as crowds; none if None.
    """
    times = max(1, -(-SHORTEST // min(image.shape[:2])))
    picture = Image.fromarray(np.ascontiguousarray(image)).convert("RGB")
    picture = picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(picture)
    line = max(2, min(picture.size) // 160)
    points = max(11, min(28, min(picture.size) // 28))
    font = font_for(points, "".join(classes))
    for number in np.arange(len(labels)) if scores is None else np.argsort(scores, kind="stable"):
        colour = tuple(int(level) for level in palette[labels[number]])
        left, top, right, bottom = (float(side) * times for side in boxes[number])
        corners = (left, top, max(right - 1, left), max(bottom - 1, top))
        if dashed is not None and dashed[number]:
            _dashes(draw, corners, colour, line)
        else:
            draw.rectangle(corners, outline=colour, width=line)
        text = classes[labels[number]]
        text = text if scores is None else f"{text} {100 * scores[number]:.0f} %"
        _label(draw, picture, (left, top), text, colour, font)
    return picture


def _label(
    draw: ImageDraw.ImageDraw,
    picture: Image.Image,
    corner: tuple[float, float],
    text: str,
    colour: tuple[int, ...],
    font: object,
) -> None:
    """Write a name above a corner, or below it at the upper border."""
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)  # type: ignore[arg-type]
    width, height = right - left + 4, bottom - top + 4
    x = min(max(corner[0], 0), max(picture.width - width, 0))
    y = corner[1] - height if corner[1] >= height else corner[1]
    draw.rectangle((x, y, x + width, y + height), fill=colour)
    dark = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2] > 140
    draw.text((x + 2 - left, y + 2 - top), text, fill="black" if dark else "white", font=font)  # type: ignore[arg-type]


def _dashes(
    draw: ImageDraw.ImageDraw,
    corners: tuple[float, float, float, float],
    colour: tuple[int, ...],
    line: int,
) -> None:
    left, top, right, bottom = corners
    step = 4 * line
    for x in np.arange(left, right, 2 * step):
        for y in (top, bottom):
            draw.line((x, y, min(x + step, right), y), fill=colour, width=line)
    for y in np.arange(top, bottom, 2 * step):
        for x in (left, right):
            draw.line((x, y, x, min(y + step, bottom)), fill=colour, width=line)
