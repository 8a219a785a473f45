"""From a file to pixels: upright, RGB, eight bits.

EXIF rotation is applied, transparency is blended over white, and only the first frame is used.
Values of more than eight bits are scaled, in all files of a data set alike: see ``levels``. A fourth channel
is transparency only if at least half of it is 0 or 255, or it has few levels; otherwise it is taken for
another channel, such as near infrared, and dropped. A JPEG is decoded at reduced scale where a small image
is enough.

Shapes  uint8 (H, W, 3), or (size, size, 3).
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from foveate.data.images.levels import DEEP, SIXTEEN, Levels, deep_colour, eight_bits, levels_of
from foveate.data.images.open_image import TURNS, USUAL, Reading, opened, orientation

_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
_FEW = 16  # levels of a transparency that is neither opaque nor clear
_SPARE = 2  # a JPEG is decoded at no less than this many times the size wanted, then resized
_HUGE = 2**26  # pixels; larger pictures are decoded one at a time
_ONE_AT_A_TIME = Lock()


def read(path: Path, how: Reading = USUAL) -> UInt8[np.ndarray, "h w 3"]:
    """Return a whole image.

    Raises:
        DataError: the file cannot be read as an image.
    """
    return np.asarray(open_upright(path, how))


def open_upright(path: Path, how: Reading = USUAL) -> Image.Image:
    """Return a whole image as Pillow holds it, 4 bytes a pixel, in 8-bit RGB.

    Raises:
        DataError: the file cannot be read as an image.
    """
    return _open(path, None, how)


def read_square(path: Path, size: int, how: Reading = USUAL) -> UInt8[np.ndarray, "s s 3"]:
    """Return an image with its short side brought to ``size`` (bicubic) and the middle cut out.

    Raises:
        DataError: the file cannot be read as an image.
    """
    return square(_open(path, size, how), size)


def read_at_least(path: Path, size: int, how: Reading = USUAL) -> Image.Image:
    """Return an image, upright, RGB, in at least the detail that a resize to ``size`` pixels a side needs.

    Raises:
        DataError: the file cannot be read as an image.
    """
    return _open(path, size, how)


def square(image: Image.Image | UInt8[np.ndarray, "h w 3"], size: int) -> UInt8[np.ndarray, "s s 3"]:
    """Bring the short side to ``size`` (bicubic) and cut out the middle, in one resampling."""
    if isinstance(image, np.ndarray):
        if image.shape[:2] == (size, size):
            return image
        image = Image.fromarray(image)
    short = min(image.size)
    if image.size != (size, size):
        left, top = (image.width - short) / 2, (image.height - short) / 2
        middle = (left, top, left + short, top + short)
        image = image.resize((size, size), Image.Resampling.BICUBIC, box=middle, reducing_gap=3.0)
    return np.asarray(image)


def upright_rgb(image: Image.Image, levels: Levels | None = None) -> Image.Image:
    """Return an opened image, turned by its EXIF orientation, in 8-bit RGB.

    Args:
        image: What Pillow opened.
        levels: The values that become black and white, of an image of more than 8 bits; its own if None.
    """
    # First: reading a PNG's EXIF decodes it, after which its depth is lost.
    values = None if levels == SIXTEEN else deep_colour(image)
    image.load()  # and a TIFF is turned by Pillow itself then
    turn = TURNS.get(orientation(image))
    if image.mode in DEEP:
        values = np.asarray(image)
    if values is not None:
        alpha = image.getchannel("A") if image.mode == "RGBA" else None
        fractions = values.dtype.kind == "f"  # for which a 16-bit range means nothing
        if levels is None or (levels == SIXTEEN and fractions):
            levels = levels_of(values)
        image = Image.fromarray(eight_bits(values, levels))
        if alpha is not None:
            image.putalpha(alpha)
    if has_alpha(image):
        whole = image.convert("RGBA")
        if is_transparency(whole):
            image = Image.alpha_composite(Image.new("RGBA", whole.size, "white"), whole)
    image = image if image.mode == "RGB" else image.convert("RGB")
    return image if turn is None else image.transpose(turn)


def has_alpha(image: Image.Image) -> bool:
    """Return whether an image has an alpha channel or a transparent colour."""
    return image.mode in _ALPHA or "transparency" in image.info


def is_transparency(image: Image.Image) -> bool:
    """Return whether the fourth channel of an RGBA image is mostly opaque or clear, or has few levels."""
    counts = image.getchannel("A").histogram()
    return 2 * (counts[0] + counts[255]) >= sum(counts) or sum(map(bool, counts)) <= _FEW


def _open(path: Path, size: int | None, how: Reading) -> Image.Image:
    with opened(path, how.max_pixels) as image:
        if size is not None:
            image.draft(None, (_SPARE * size, _SPARE * size))
        if image.width * image.height <= _HUGE:
            return upright_rgb(image, how.levels)
        with _ONE_AT_A_TIME:
            return _reduced(upright_rgb(image, how.levels), size)


def _reduced(image: Image.Image, size: int | None) -> Image.Image:
    """Return a huge picture in no more detail than is needed, to save memory."""
    factor = 1 if size is None else min(image.size) // (_SPARE * size)
    return image.reduce(factor) if factor > 1 else image
