"""From a file to pixels: upright, RGB, eight bits, whatever the file held.

EXIF rotation is applied, 16-bit grey is scaled (not clipped), transparency is laid over white, of an
animation the first frame counts. A JPEG is decoded at a reduced scale where a small image is all that is
wanted.

Shapes  uint8 (H, W, 3), or (size, size, 3).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFile, ImageOps

from foveate.errors import DataError

SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
)
_WIDE = ("I", "I;16", "I;16B", "I;16L", "F")
_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
_ORIENTATION = 0x0112  # the EXIF tag
_ON_THEIR_SIDE = (5, 6, 7, 8)  # its values that swap height and width
_SPARE = 2  # a JPEG is decoded at no less than this many times the size wanted, then resized


def read(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """Return a whole image.

    Raises:
        DataError: the file cannot be read as an image.
    """
    return np.asarray(open_upright(path))


def open_upright(path: Path) -> Image.Image:
    """Return a whole image as Pillow holds it, 4 bytes a pixel, in 8-bit RGB.

    Raises:
        DataError: the file cannot be read as an image.
    """
    return _open(path, None)


def read_square(path: Path, size: int) -> UInt8[np.ndarray, "s s 3"]:
    """Return an image with its short side brought to ``size`` (bicubic) and the middle cut out.

    Raises:
        DataError: the file cannot be read as an image.
    """
    return square(_open(path, size), size)


def read_at_least(path: Path, size: int) -> Image.Image:
    """Return an image, upright, RGB, in no less detail than a resize to ``size`` pixels a side can show.

    Raises:
        DataError: the file cannot be read as an image.
    """
    return _open(path, size)


def file_size(path: Path) -> tuple[int, int]:
    """Return height and width of an upright image, from the head of its file.

    Raises:
        DataError: the file cannot be read as an image.
    """
    with opened(path) as image:
        turned = image.getexif().get(_ORIENTATION, 1) in _ON_THEIR_SIDE
        return (image.width, image.height) if turned else (image.height, image.width)


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


def upright_rgb(image: Image.Image) -> Image.Image:
    """Return an opened image, rotated as its EXIF says, in 8-bit RGB."""
    if image.getexif().get(_ORIENTATION, 1) != 1:  # Pillow would copy an upright image too
        image = ImageOps.exif_transpose(image)
    if image.mode in _WIDE:
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    if image.mode in _ALPHA or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")


@contextmanager
def opened(path: Path) -> Iterator[ImageFile.ImageFile]:
    """Give an opened image file, and name the file in whatever goes wrong with it.

    Raises:
        DataError: the file cannot be read as an image.
    """
    try:
        # Warnings of Pillow (an odd tag, a large image) are findings of `check`, not of every epoch.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                yield image
    except Exception as error:  # Pillow raises anything from OSError to struct.error for broken files
        raise DataError(
            f"{path}: cannot be read as an image ({type(error).__name__}: {error}). Remove or replace it; "
            "`foveate check` lists every such file."
        ) from None


def _open(path: Path, size: int | None) -> Image.Image:
    with opened(path) as image:
        if size is not None:
            image.draft(None, (_SPARE * size, _SPARE * size))
        image.load()  # while the file is open
        return upright_rgb(image)


def _eight_bits(wide: np.ndarray) -> UInt8[np.ndarray, "h w"]:
    """Scale grey of more than 8 bits: integers as 16-bit, however few they use; floats by their range."""
    if wide.dtype.kind != "f":
        scale = 255 / 65535
    else:
        top = float(wide.max(initial=0))
        scale = 255.0 if top <= 1 else 1.0 if top <= 255 else 255 / top
    return (wide.clip(0) * scale).round().clip(0, 255).astype(np.uint8)
