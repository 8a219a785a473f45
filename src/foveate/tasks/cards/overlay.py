"""Pictures of a card as data URIs: a test image, a map to lay over it, the outline of where the answer is.

Shapes  image uint8 (H, W, 3); map float (h, w), any range; mask bool (H, W).
"""

from __future__ import annotations

import base64
import io

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from foveate.explain.drawing.blend import blended, resized, strength
from foveate.explain.drawing.colour import scale_of

SIDE, LARGEST = 224, 320  # pixels of the shorter side: smaller images are enlarged, larger ones reduced
COLOURS = 128  # of a map: a third of the bytes, and no difference that one sees
_FINE = 96  # rows or columns of a map that is laid over an image; the browser enlarges it smoothly
_PHOTO = 4096  # colours from which on an image is a photo, which JPEG keeps in a tenth of the bytes


def shown(image: UInt8[np.ndarray, "h w 3"]) -> Image.Image:
    """Return an image at the size it is shown: small ones enlarged by the pixel, large ones reduced."""
    picture = Image.fromarray(np.ascontiguousarray(image))
    short = min(picture.size)
    if short >= SIDE:
        times = min(1, LARGEST / short)
        size = (round(picture.width * times), round(picture.height * times))
        return picture.resize(size, Image.Resampling.LANCZOS)
    times = -(-SIDE // short)
    return picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)


def overlay(image: UInt8[np.ndarray, "hh ww 3"], weights: Float[np.ndarray, "h w"]) -> Image.Image:
    """Lay a map over the image, as small as a card needs it; see ``foveate.explain.drawing.blend``."""
    drawn = blended(np.asarray(shown(image)), np.asarray(weights))
    return Image.fromarray(drawn).quantize(COLOURS, dither=Image.Dither.NONE)


def layer(weights: Float[np.ndarray, "h w"]) -> Image.Image:
    """Return a map alone, in colours that are transparent where it is low, to be laid over the grey image.

    The colours and their strength are those of ``foveate.explain.drawing.blend``.
    """
    rows, columns = (round(side * max(1, _FINE / max(weights.shape))) for side in weights.shape)
    fine = resized(np.asarray(weights, np.float64), (min(rows, _FINE), min(columns, _FINE)))
    scale = scale_of(weights)
    levels = np.round((COLOURS - 1) * np.nan_to_num(scale.levels(fine))).astype(np.uint8)
    steps = np.linspace(0, 1, COLOURS)
    picture = Image.fromarray(levels, mode="P")
    picture.putpalette(np.round(255 * scale.of_levels(steps)).astype(np.uint8).tobytes())
    picture.info["transparency"] = (
        np.round(255 * strength(steps, signed=scale.signed)).astype(np.uint8).tobytes()
    )
    return picture


def outline(mask: Bool[np.ndarray, "h w"], size: tuple[int, int]) -> Image.Image:
    """Return the edge of a mask, white within black, to be laid over pictures of ``size`` (width, height)."""
    inside = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    line, halo = inside & ~_eroded(inside), _eroded(_eroded(~inside))
    drawn = np.zeros((*inside.shape, 4), np.uint8)
    drawn[~inside & ~halo] = (0, 0, 0, 150)
    drawn[line] = (255, 255, 255, 255)
    return Image.fromarray(drawn)


def data_uri(picture: Image.Image) -> str:
    """Return a picture embedded in the page: a photo as JPEG, anything else as PNG."""
    data, photo = io.BytesIO(), picture.mode == "RGB" and picture.getcolors(_PHOTO) is None
    if photo:
        picture.save(data, "JPEG", quality=88, subsampling=0)
    else:
        picture.save(data, "PNG", optimize=True)
    kind = "jpeg" if photo else "png"
    return f"data:image/{kind};base64," + base64.b64encode(data.getvalue()).decode()


def _eroded(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    padded = np.pad(mask, 1, constant_values=True)
    return padded[1:-1, 1:-1] & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
