"""From a file to pixels: upright, RGB, eight bits, whatever the file held.

EXIF rotation is applied, transparency is laid over white, of an animation or a stack the first frame counts.
Values of more than eight bits are scaled, in all files of a data set alike: see ``levels``. A fourth channel
is transparency only if at least half of it is 0 or 255, or it has few levels; else it is something else (near
infrared, say) and is left out. A JPEG is decoded at a reduced scale where a small image is all that is
wanted.

Limits  a picture of more than ``MOST_PIXELS`` pixels, or a file of more than ``BYTES_A_PIXEL`` times as many
        bytes, is refused unless ``max_pixels`` allows it; pipes, sockets and devices are never opened.
Shapes  uint8 (H, W, 3), or (size, size, 3).
"""

from __future__ import annotations

import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFile

from foveate.data.images.formats import SUFFIXES, formats_for
from foveate.data.images.levels import DEEP, SIXTEEN, Levels, deep_colour, eight_bits, levels_of
from foveate.errors import DataError
from foveate.options import whole

__all__ = ["SUFFIXES", "Reading", "open_upright", "opened", "read", "read_square", "square", "upright_rgb"]

MOST_PIXELS = 2**28  # of a picture; 1 GiB as Pillow holds it
MOST_OF_A_MASK = 2**30  # likewise, at one byte a pixel
BYTES_A_PIXEL = 8  # of a file at most: four channels of 16 bits, not compressed
_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
_ORIENTATION = 0x0112  # the EXIF tag
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # its values, with what makes such an image upright
_ON_THEIR_SIDE = (5, 6, 7, 8)  # those that swap height and width
_FEW = 16  # levels of a transparency that is neither opaque nor clear
_SPARE = 2  # a JPEG is decoded at no less than this many times the size wanted, then resized
_HUGE = 2**26  # pixels; larger pictures are decoded one at a time
_ONE_AT_A_TIME, _LIMIT = Lock(), Lock()


@dataclass(frozen=True)
class Reading:
    """How the files of a data set become eight bits a channel.

    Args:
        levels: The values that become black and white where a file has more than eight bits, ``SIXTEEN`` for
            all of its sixteen; each file's own if None.
        max_pixels: Pixels of the largest picture that is decoded.

    Raises:
        OptionError: ``max_pixels`` is not a whole number above 0.
    """

    levels: Levels | None = None
    max_pixels: int = MOST_PIXELS

    def __post_init__(self) -> None:
        whole("max_pixels", self.max_pixels)


USUAL = Reading()


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
    """Return an image, upright, RGB, in no less detail than a resize to ``size`` pixels a side can show.

    Raises:
        DataError: the file cannot be read as an image.
    """
    return _open(path, size, how)


def file_size(path: Path, how: Reading = USUAL) -> tuple[int, int]:
    """Return height and width of an upright image, from the head of its file.

    Raises:
        DataError: the file cannot be read as an image.
    """
    with opened(path, how.max_pixels) as image:
        return (image.width, image.height) if lies(image) else (image.height, image.width)


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


def upright(image: Image.Image) -> Image.Image:
    """Return an opened image, rotated as its EXIF says."""
    image.load()  # a TIFF is turned by Pillow itself then
    turn = TURNS.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def lies(image: Image.Image) -> bool:
    """Tell whether an opened image's height and width change places when it is turned as its EXIF says.

    Pillow states the size of a TIFF as it is after turning.
    """
    return image.format != "TIFF" and orientation(image) in _ON_THEIR_SIDE


def upright_rgb(image: Image.Image, levels: Levels | None = None) -> Image.Image:
    """Return an opened image, rotated as its EXIF says, in 8-bit RGB.

    Args:
        image: What Pillow opened.
        levels: The values that become black and white, of an image of more than 8 bits; its own if None.
    """
    # First: reading a PNG's EXIF decodes it, and then nothing tells how deep it was.
    values = None if levels == SIXTEEN else deep_colour(image)
    image.load()  # and a TIFF is turned by Pillow itself then
    turn = TURNS.get(orientation(image))
    if image.mode in DEEP:
        values = np.asarray(image)
    if values is not None:
        alpha = image.getchannel("A") if image.mode == "RGBA" else None
        fractions = values.dtype.kind == "f"  # of which sixteen bits say nothing
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
    """Tell whether an image has a channel, or a colour of its palette, that is called transparency."""
    return image.mode in _ALPHA or "transparency" in image.info


def is_transparency(image: Image.Image) -> bool:
    """Tell whether the fourth channel of an RGBA image is mostly opaque or clear, or has few levels."""
    counts = image.getchannel("A").histogram()
    return 2 * (counts[0] + counts[255]) >= sum(counts) or sum(map(bool, counts)) <= _FEW


@contextmanager
def opened(path: Path, max_pixels: int = MOST_OF_A_MASK) -> Iterator[ImageFile.ImageFile]:
    """Give an opened image file, and name the file in whatever goes wrong with it.

    Args:
        path: The file.
        max_pixels: Pixels of the largest picture that is opened.

    Raises:
        DataError: the file cannot be read as an image.
    """
    try:
        check_file(path, max_pixels)
        # Warnings of Pillow (an odd tag, a large image) are findings of `check`, not of every epoch.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_image(path, max_pixels) as image:
                yield image
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path}: cannot be read as an image: there is no such file.") from None
    except Exception as error:  # Pillow raises anything from OSError to struct.error for broken files
        raise DataError(
            f"{path}: cannot be read as an image ({type(error).__name__}: {error}). Remove or replace it; "
            "`foveate check` lists every such file."
        ) from None


class TooLargeError(DataError):
    """A picture of more pixels, or a file of more bytes, than ``max_pixels`` allows."""


def check_file(path: Path, max_pixels: int = MOST_OF_A_MASK) -> None:
    """Check, without opening it, that a path is a file of a size that a picture can have.

    Raises:
        OSError: there is nothing of the name.
        DataError: it is a pipe, a socket, a device or a folder.
        TooLargeError: it has more bytes than a picture of ``max_pixels`` pixels needs.
    """
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise DataError(f"{path}: is {kind_of(about.st_mode)}, not a file. Remove it.")
    if about.st_size > BYTES_A_PIXEL * max_pixels:
        raise TooLargeError(
            f"{path}: a file of {about.st_size / 1e9:.1f} GB, more than a picture of {max_pixels:,} pixels "
            f"needs. If you trust it, give --max-pixels {-(-about.st_size // BYTES_A_PIXEL)} (in Python "
            "max_pixels=)."
        )


def kind_of(mode: int) -> str:
    """Return what a file system's entry is if it is not a file, in words."""
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    return next((word for is_so, word in kinds if is_so(mode)), "a device")


@contextmanager
def open_image(path: Path, max_pixels: int) -> Iterator[ImageFile.ImageFile]:
    """Give an opened file of one of the formats that are read.

    Raises:
        TooLargeError: it has more than ``max_pixels`` pixels.
        Exception: whatever Pillow raises for a file that is broken or of another format.
    """
    try:
        image = Image.open(path, formats=formats_for(path))
    except Image.DecompressionBombError:
        image = None
    if image is not None:
        with image:
            _check_pixels(path, image, max_pixels)
            yield image
        return
    with _unlimited(), Image.open(path, formats=formats_for(path)) as image:
        _check_pixels(path, image, max_pixels)
        yield image


def _check_pixels(path: Path, image: Image.Image, max_pixels: int) -> None:
    pixels = image.width * image.height
    if pixels > max_pixels:
        raise TooLargeError(
            f"{path}: a picture of {image.width}x{image.height} pixels, more than {max_pixels:,}. If you "
            f"trust it, give --max-pixels {pixels} (in Python max_pixels=)."
        )


@contextmanager
def _unlimited() -> Iterator[None]:
    """Lift Pillow's own limit, which can only be stated for all files at once, while one file is decoded."""
    with _LIMIT:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _open(path: Path, size: int | None, how: Reading) -> Image.Image:
    with opened(path, how.max_pixels) as image:
        if size is not None:
            image.draft(None, (_SPARE * size, _SPARE * size))
        if image.width * image.height <= _HUGE:
            return upright_rgb(image, how.levels)
        with _ONE_AT_A_TIME:
            return _reduced(upright_rgb(image, how.levels), size)


def _reduced(image: Image.Image, size: int | None) -> Image.Image:
    """Return a huge picture in no more detail than is wanted, so that few of them are in memory at once."""
    factor = 1 if size is None else min(image.size) // (_SPARE * size)
    return image.reduce(factor) if factor > 1 else image


def orientation(image: Image.Image) -> int:
    """Return what an image's EXIF says of how it lies, 1 to 8; 1 if it says nothing."""
    found = image.getexif().get(_ORIENTATION, 1)
    return found if isinstance(found, int) else 1
