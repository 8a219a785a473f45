"""Which files are opened as pictures: by format, kind of file and size; and which are not, with what to do.

Only the formats named here are decoded. Pillow knows more, some of which start another program (PostScript
starts Ghostscript) whatever the file is called.

Limits  a picture of more than ``MOST_PIXELS`` pixels, or a file of more than ``BYTES_A_PIXEL`` times that
        many bytes, is refused unless ``max_pixels`` allows it; pipes, sockets and devices are never opened.
"""

from __future__ import annotations

import hashlib
import os
import stat
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from io import BufferedReader
from pathlib import Path
from threading import Lock

from PIL import Image, ImageFile, features

from foveate.errors import DataError
from foveate.options import whole

MOST_PIXELS = 2**28  # of a picture; 1 GiB as Pillow holds it
MOST_OF_A_MASK = 2**30  # likewise, at one byte a pixel
BYTES_A_PIXEL = 8  # of a file at most: four channels of 16 bits, not compressed
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
_LIMIT = Lock()
_HEIF = (".heic", ".heif", ".hif")
_BY_FORMAT = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "BMP": (".bmp",),
    "DIB": (".dib",),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "JPEG2000": (".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc"),
    "AVIF": (".avif", ".avifs"),
    "HEIF": _HEIF,
    "TGA": (".tga",),
}
_PLUGIN = "pip install pillow-heif"
_CONVERT = "convert them to PNG or TIFF"
_UNREAD = dict.fromkeys(_HEIF, _PLUGIN) | dict.fromkeys(
    (
        *(".dcm", ".dicom", ".nii", ".mha", ".nrrd", ".czi", ".nd2", ".lif", ".svs", ".ndpi", ".mrxs"),
        *(".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf"),
        *(".exr", ".hdr", ".jxl", ".jxr", ".wdp", ".fits", ".psd", ".xcf", ".ico", ".pcx", ".sgi"),
        *(".svg", ".eps", ".ps", ".ai", ".wmf", ".emf"),
    ),
    _CONVERT,
)


def _is_read(form: str) -> bool:
    """Tell whether the Pillow that is installed decodes a format."""
    if form == "HEIF":
        return find_spec("pillow_heif") is not None
    needed = {"WEBP": "webp", "JPEG2000": "jpg_2000", "AVIF": "avif"}.get(form)
    return needed is None or bool(features.check(needed))


FORMATS = tuple(form for form in _BY_FORMAT if _is_read(form))
_OPENED = tuple(form for form in FORMATS if form != "MPO")  # which Pillow opens as a JPEG
SUFFIXES = frozenset(suffix for form in FORMATS for suffix in _BY_FORMAT[form])
IN_PARTS = frozenset((".svs", ".ndpi", ".scn", ".btf", ".npy"))  # read by `data.large` alone
UNREAD = {
    **{suffix: "install a Pillow that reads them" for known in _BY_FORMAT.values() for suffix in known},
    **_UNREAD,
}
UNREAD = {suffix: advice for suffix, advice in UNREAD.items() if suffix not in SUFFIXES}


def formats_for(path: Path) -> tuple[str, ...]:
    """Return the formats that a file may hold; TGA, which has no signature, only by its ending."""
    _register()
    return _OPENED if path.suffix.lower() == ".tga" else tuple(form for form in _OPENED if form != "TGA")


def usual_suffixes(form: str) -> tuple[str, ...]:
    """Return the usual endings of files of a format; empty if they are not known."""
    return _BY_FORMAT.get(form, ())


def unread_pictures(files: Iterable[Path]) -> tuple[Path, ...]:
    """Return the files that are pictures by name, of formats that are not read."""
    return tuple(file for file in files if file.suffix.lower() in UNREAD)


def unread_advice(files: Iterable[Path]) -> str:
    """Return what can be done about pictures that are not read, one sentence for each kind."""
    by_advice: dict[str, list[str]] = {}
    for suffix in sorted({file.suffix.lower() for file in files}):
        by_advice.setdefault(UNREAD[suffix], []).append(suffix)
    return " ".join(f"{', '.join(suffixes)}: {advice}." for advice, suffixes in by_advice.items())


@cache
def _register() -> None:
    """Register HEIC with Pillow if the package for it is installed."""
    if "HEIF" in FORMATS:
        from pillow_heif import register_heif_opener  # type: ignore[import-not-found]

        register_heif_opener()


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

    levels: tuple[float, float] | None = None
    max_pixels: int = MOST_PIXELS

    def __post_init__(self) -> None:
        whole("max_pixels", self.max_pixels)


USUAL = Reading()


@contextmanager
def opened(path: Path, max_pixels: int = MOST_OF_A_MASK) -> Iterator[ImageFile.ImageFile]:
    """Yield an opened image file, and name the file in every error.

    Args:
        path: The file.
        max_pixels: Pixels of the largest picture that is opened.

    Raises:
        DataError: the file cannot be read as an image.
    """
    try:
        check_file(path, max_pixels)
        # Pillow's warnings (a malformed tag, a large image) are findings of `check`, not of every epoch.
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
        raise DataError(f"{path}: is {kind_of(about.st_mode)}, not a file. Remove it from the data.")
    if about.st_size > BYTES_A_PIXEL * max_pixels:
        raise TooLargeError(
            f"{path}: a file of {about.st_size / 1e9:.1f} GB, more than a picture of {max_pixels:,} pixels "
            f"needs. If you trust it, give --max-pixels {-(-about.st_size // BYTES_A_PIXEL)} (in Python "
            "max_pixels=)."
        )


def kind_of(mode: int) -> str:
    """Say what a directory entry is if it is not a file."""
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    return next((word for is_so, word in kinds if is_so(mode)), "a device")


def content_hash(file: BufferedReader) -> str:
    """Return the hash of a file's bytes from where it stands, 32 hexadecimal digits."""
    return hashlib.file_digest(file, "blake2b").hexdigest()[:32]


def hash_of_opened(image: ImageFile.ImageFile) -> str:
    """Return the hash of an opened image's file, without opening the file again."""
    file = image.fp
    if file is None:  # a plugin has closed it
        with Path(os.fsdecode(image.filename)).open("rb") as own:
            return content_hash(own)
    place = file.tell()
    file.seek(0)
    digest = content_hash(file)  # type: ignore[arg-type]
    file.seek(place)
    return digest


@contextmanager
def open_image(path: Path, max_pixels: int) -> Iterator[ImageFile.ImageFile]:
    """Yield an opened file of one of the formats that are read.

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
    """Lift Pillow's own limit, which is global, while one file is decoded."""
    with _LIMIT:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def file_size(path: Path, how: Reading = USUAL) -> tuple[int, int]:
    """Return height and width of an upright image, from the head of its file.

    Raises:
        DataError: the file cannot be read as an image.
    """
    with opened(path, how.max_pixels) as image:
        return upright_size(image)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return height and width of an opened image once it is turned as its EXIF says."""
    return (image.width, image.height) if lies(image) else (image.height, image.width)


def upright(image: Image.Image) -> Image.Image:
    """Return an opened image, turned by its EXIF orientation."""
    image.load()  # a TIFF is turned by Pillow itself then
    turn = TURNS.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def lies(image: Image.Image) -> bool:
    """Return whether turning an opened image by its EXIF orientation swaps height and width.

    Pillow states the size of a TIFF after turning.
    """
    return image.format != "TIFF" and orientation(image) in _ON_THEIR_SIDE


def orientation(image: Image.Image) -> int:
    """Return an image's EXIF orientation, 1 to 8; 1 if there is none."""
    found = image.getexif().get(_ORIENTATION, 1)
    return found if isinstance(found, int) else 1
