"""Small pictures as data URIs: a test image, a map laid over it, the outline of where the answer is.

Shapes  image uint8 (H, W, 3); map float (h, w), any range; mask bool (H, W).
"""

from __future__ import annotations

import base64
import io

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from foveate.explain.drawing.blend import blended

SIDE = 96  # pixels; small images are enlarged to at least this, large ones reduced to about it
COLOURS = 96  # of a map's palette: a third of the bytes, and no difference that one sees


def shown(image: UInt8[np.ndarray, "h w 3"]) -> Image.Image:
    """Return an image at the size it is shown: small ones enlarged by the pixel, large ones reduced."""
    picture = Image.fromarray(np.ascontiguousarray(image))
    short = min(picture.size)
    if short >= SIDE:
        large = (SIDE + SIDE // 4) / short
        size = (round(picture.width * large), round(picture.height * large))
        return picture.resize(size, Image.Resampling.LANCZOS)
    times = -(-SIDE // short)
    return picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)


def overlay(image: UInt8[np.ndarray, "hh ww 3"], weights: Float[np.ndarray, "h w"]) -> Image.Image:
    """Lay a map over the image, as small as a card needs it; see ``foveate.explain.drawing.blend``."""
    drawn = blended(np.asarray(shown(image)), np.asarray(weights))
    return Image.fromarray(drawn).quantize(COLOURS, dither=Image.Dither.NONE)


def outline(mask: Bool[np.ndarray, "h w"], size: tuple[int, int]) -> Image.Image:
    """Return the edge of a mask, white within black, to be laid over pictures of ``size`` (width, height)."""
    inside = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    line, halo = inside & ~_eroded(inside), _eroded(_eroded(~inside))
    drawn = np.zeros((*inside.shape, 4), np.uint8)
    drawn[~inside & ~halo] = (0, 0, 0, 150)
    drawn[line] = (255, 255, 255, 255)
    return Image.fromarray(drawn)


def data_uri(picture: Image.Image) -> str:
    """Return a picture as a PNG embedded in the page."""
    data = io.BytesIO()
    picture.save(data, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()


def _eroded(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    padded = np.pad(mask, 1, constant_values=True)
    return padded[1:-1, 1:-1] & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
