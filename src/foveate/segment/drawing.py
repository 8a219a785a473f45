"""A picture with the classes laid over it, and a legend that names them.

Shapes  image uint8 (H, W, 3); labels uint8 (H, W), class numbers; palette uint8 (K, 3), RGB.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from foveate.errors import ShapeError

SMALLEST = 0.0005  # share of the pixels below which a class is left out of the legend
NARROWEST = 240  # pixels of a picture with a legend


def overlay(
    image: UInt8[np.ndarray, "h w 3"],
    labels: UInt8[np.ndarray, "h w"],
    palette: UInt8[np.ndarray, "k 3"],
    *,
    strength: float = 0.5,
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the image blended with the colours of the classes, with a line in full colour where they meet.

    Args:
        image: The picture.
        labels: The class of each pixel.
        palette: A colour for each class.
        strength: Share of the colour in the blend, in [0, 1].

    Raises:
        ShapeError: Image and labels differ in size, or a class has no colour.
    """
    if image.shape != (*labels.shape, 3):
        raise ShapeError(
            f"got an image {image.shape} and labels {labels.shape}, expected (H, W, 3) and (H, W)"
        )
    if labels.size and labels.max() >= len(palette):
        raise ShapeError(f"got class {labels.max()} and {len(palette)} colours. Give one for each class.")
    colour = np.asarray(palette, np.float32)[labels]
    share = np.where(_borders(labels), 1.0, strength).astype(np.float32)[..., None]
    mixed: UInt8[np.ndarray, "h w 3"] = ((1 - share) * image + share * colour).round().astype(np.uint8)
    return mixed


def with_legend(
    image: UInt8[np.ndarray, "h w 3"],
    classes: Sequence[str],
    shares: Float[np.ndarray, " k"],
    palette: UInt8[np.ndarray, "k 3"],
) -> Image.Image:
    """Return the image with a strip under it that names the classes in it, those with most pixels first.

    An image too narrow for a legend is enlarged by the pixel.

    Args:
        image: A picture, such as ``overlay`` returns.
        classes: Their names.
        shares: Share of the pixels of each, in [0, 1].
        palette: A colour for each class.
    """
    times = -(-NARROWEST // image.shape[1])
    height, width = (times * side for side in image.shape[:2])
    points = max(11, min(28, width // 40))
    letters = "".join(sorted({*"".join(classes)}))
    font, line, gap = font_for(points, letters), round(1.6 * points), points
    x, y, places, wide = gap, gap, [], width
    for number in np.argsort(-shares, kind="stable"):
        if shares[number] < SMALLEST:
            break
        text = f"{classes[number]}  {100 * shares[number]:.1f} %"
        needed = line + round(font.getlength(text)) + gap
        if x > gap and x + needed > width:
            x, y = gap, y + line
        places.append((x, height + y, number, text))
        x, wide = x + needed + gap, max(wide, x + needed)
    out = Image.new("RGB", (wide, height + y + line + gap // 2), "white")
    out.paste(Image.fromarray(np.ascontiguousarray(image)).resize((width, height), Image.Resampling.NEAREST))
    draw = ImageDraw.Draw(out)
    for left, top, number, text in places:
        box = (left, top, left + points, top + points)
        draw.rectangle(box, fill=tuple(int(level) for level in palette[number]), outline="black")
        draw.text((left + line, top + points / 2), text, fill="black", font=font, anchor="lm")
    return out


@cache
def font_for(points: int, letters: str) -> ImageFont.FreeTypeFont:
    """Return the font that matplotlib brings, or for other letters, such as Chinese, one of the machine's.

    Where no font has them all, the first that has most of them shows a box for each that it lacks.
    """
    import matplotlib
    from matplotlib import font_manager, ft2font

    usual = str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
    wanted = set(map(ord, letters))

    def plainness(font: font_manager.FontEntry) -> tuple[bool, ...]:
        name = font.name.lower()
        return font.style != "normal", font.weight not in (400, "normal"), "mono" in name, "serif" in name

    fonts = [font for font in font_manager.fontManager.ttflist if "Last Resort" not in font.name]  # all boxes
    best, most = usual, -1
    for path in (usual, *(font.fname for font in sorted(fonts, key=plainness))):
        try:
            known = len(wanted & ft2font.FT2Font(path).get_charmap().keys())
        except (OSError, RuntimeError):  # a font that was removed, or is none
            continue
        if known > most:
            best, most = path, known
        if most == len(wanted):
            break
    return ImageFont.truetype(best, points)


def _borders(labels: UInt8[np.ndarray, "h w"]) -> np.ndarray:
    """Mark the pixels whose right or lower neighbour is of another class."""
    border = np.zeros(labels.shape, bool)
    border[:, :-1] |= labels[:, 1:] != labels[:, :-1]
    border[:-1] |= labels[1:] != labels[:-1]
    return border
