"""One door to a picture that is read in parts, whatever its format."""

from __future__ import annotations

from pathlib import Path

from foveate.data.images.open_image import USUAL, Reading, TooLargeError, kind_of
from foveate.data.large import array_file, png_strips, tiled_tiff
from foveate.data.large.array_file import ArrayFile
from foveate.data.large.by_pillow import ByPillow
from foveate.data.large.by_vips import ByVips, has_vips
from foveate.data.large.content_key import content_key
from foveate.data.large.large_picture import MOST_PIXELS, LargePicture, Turned
from foveate.data.large.png_strips import PngStrips
from foveate.data.large.tiled_tiff import TiledTiff
from foveate.errors import DataError, MissingExtraError

_HEAD = 8  # bytes


def open_large(path: Path, how: Reading = USUAL) -> LargePicture:
    """Return a picture that is read in parts.

    Args:
        path: A TIFF, tiled or not, with a pyramid or without; a PNG, a .npy file, a JPEG, or any other
            picture that is not too large to be decoded whole.
        how: Its levels; and how many pixels may be decoded together where the format does not allow less.

    Raises:
        DataError: It cannot be read, or only whole and is too large for that.
        MissingExtraError: It takes a package that is not installed.
    """
    try:
        if not path.is_file():
            what = kind_of(path.stat().st_mode)
            raise DataError(f"{path}: is {what}, not a file. Remove it from the data.")
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror}).") from None
    if not head:
        raise DataError(f"{path}: is empty. Remove or restore it.")
    found = _opened(path, head, how)
    found.key = content_key(path, how)
    height, width = found.size
    if height * width > MOST_PIXELS:
        raise TooLargeError(f"{path}: {width}x{height} pixels, more than {MOST_PIXELS:,}. Remove it.")
    return found


def _opened(path: Path, head: bytes, how: Reading) -> LargePicture:
    if head.startswith(array_file.MAGIC):
        return ArrayFile(path, how.levels)
    if head.startswith(tiled_tiff.MAGIC):
        return _tiff(path, how)
    if head.startswith(png_strips.MAGIC):
        try:
            strips = PngStrips(path, how.levels)
        except DataError as error:
            return _whole(path, how, error)
        return _upright(strips, strips.orientation)
    return _whole(path, how)


def _tiff(path: Path, how: Reading) -> LargePicture:
    try:
        tiff = TiledTiff(path, how.levels)
    except (DataError, MissingExtraError) as error:
        if has_vips():
            try:
                return ByVips(path, how.levels, at_random=True)
            except DataError:
                raise error from None
        return _whole(path, how, error)
    return _upright(tiff, tiff.orientation)


def _whole(path: Path, how: Reading, why: Exception | None = None) -> LargePicture:
    """Return a picture that is decoded whole, or row by row by libvips; ``why`` says what else was tried."""
    try:
        found = ByPillow(path, how)
        if found.is_held_whole or not has_vips():
            return found
        turn = found.turn
    except DataError as error:
        if not isinstance(error, TooLargeError) or not has_vips():
            raise (why or error) from None
        turn = 1
    return _upright(ByVips(path, how.levels, at_random=False), turn)


def _upright(picture: LargePicture, orientation: int) -> LargePicture:
    return Turned(picture, orientation) if 2 <= orientation <= 8 else picture  # of EXIF
