"""Probe one image: is it sound, what is it, and what does it look like at low resolution?

The file is hashed and decoded once; a JPEG at reduced scale, which still reads all of its data.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFile, UnidentifiedImageError

from foveate.data.images.decode import has_alpha, is_transparency, upright_rgb
from foveate.data.images.levels import DEEP, is_deep_colour, seen
from foveate.data.images.open_image import (
    USUAL,
    Reading,
    TooLargeError,
    check_file,
    lies,
    open_image,
    orientation,
    usual_suffixes,
)
from foveate.data.images.truncated import is_cut
from foveate.data.large.large_picture import LargePicture
from foveate.errors import DataError

THUMB = 16  # pixels a side of the thumbnail that near duplicates are confirmed on
_STILL = ("MPO",)  # a JPEG followed by a preview or a second view, as phones write
_LARGE = Image.MAX_IMAGE_PIXELS or np.inf  # from here on Pillow itself warns


@dataclass(frozen=True)
class Probe:
    """What one look at an image found.

    Args:
        problem: "empty", "unreadable", "truncated", "bomb", or None for a sound image.
        detail: What exactly is wrong.
        digest: Hash of the bytes, or of the pixels if there is no file.
        size: Width and height in pixels; (0, 0) if unknown.
        traits: Of "wrong_extension", "exif_rotation", "alpha", "not_alpha", "cmyk", "sixteen_bit",
            "beyond_levels", "not_finite", "animated", "large".
        look: 64 signs of differences of neighbouring brightness, as one number.
        thumb: Grey thumbnail (THUMB, THUMB), or None if the image could not be decoded.
    """

    problem: str | None = None
    detail: str = ""
    digest: str = ""
    size: tuple[int, int] = (0, 0)
    traits: frozenset[str] = field(default_factory=frozenset)
    look: int = 0
    thumb: UInt8[np.ndarray, "16 16"] | None = None


def probe_file(path: Path, how: Reading = USUAL) -> Probe:
    """Return what a look at a file finds. It never raises: faults are in ``problem``.

    Args:
        path: The file.
        how: How the files of its data set become eight bits.
    """
    try:
        check_file(path, how.max_pixels)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
            if not file.tell():
                return Probe(problem="empty", detail="0 bytes")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what Pillow warns of is checked here
                return _probe_file(path, file, digest, how)
    except TooLargeError as error:
        return Probe(problem="bomb", detail=_reason(error, path))
    except DataError as error:
        return Probe(problem="unreadable", detail=_reason(error, path))
    except OSError as error:
        return Probe(problem="unreadable", detail=str(error.strerror))


def probe_pixels(image: UInt8[np.ndarray, "h w 3"]) -> Probe:
    """Return what a look at a decoded image finds."""
    look, thumb = _from_afar(Image.fromarray(image))
    digest = hashlib.blake2b(f"{image.shape}".encode() + image.tobytes(), digest_size=16).hexdigest()
    return Probe(digest=digest, size=(image.shape[1], image.shape[0]), look=look, thumb=thumb)


def probe_large(
    picture_of: Callable[[int], LargePicture], overview_of: Callable[[int], np.ndarray], item: int
) -> Probe:
    """Return what a look at a picture that is read in parts finds: at its head and an overview (3, S, S).

    It never raises: faults are in ``problem``.
    """
    try:
        picture = picture_of(item)
        found = probe_pixels(overview_of(item).transpose(1, 2, 0))
    except DataError as error:
        kind = "truncated" if "truncated" in str(error) else "unreadable"
        return Probe(problem="bomb" if isinstance(error, TooLargeError) else kind, detail=str(error))
    return replace(found, digest=picture.key or found.digest, size=picture.size[::-1])


def _probe_file(path: Path, file: BinaryIO, digest: str, how: Reading) -> Probe:
    size = (0, 0)
    try:
        with open_image(path, how.max_pixels) as image:
            size = image.size
            if is_cut(file, image.format):
                return Probe(problem="truncated", detail="the file ends too early", digest=digest, size=size)
            picture = None if not is_deep_colour(image) else upright_rgb(image, how.levels)
            traits = _traits(image, path.suffix.lower(), deep=picture is not None)
            size = image.size[::-1] if lies(image) else image.size
            image.draft(None, (4 * THUMB, 4 * THUMB))
            look, thumb = _from_afar(picture or upright_rgb(image, how.levels))
            traits |= _decoded_traits(image, how)
    except TooLargeError as error:
        return Probe(problem="bomb", detail=_reason(error, path), digest=digest)
    except UnidentifiedImageError:
        return Probe(problem="unreadable", detail="not an image of a format that is read", digest=digest)
    except Exception as error:  # Pillow raises anything from OSError to struct.error for broken files
        cut_short = "truncated" in str(error) or "EOF" in str(error) or isinstance(error, EOFError)
        problem = "truncated" if cut_short and size != (0, 0) else "unreadable"
        return Probe(problem=problem, detail=f"{type(error).__name__}: {error}", digest=digest, size=size)
    return Probe(digest=digest, size=size, traits=traits, look=look, thumb=thumb)


def _reason(error: DataError, path: Path) -> str:
    return str(error).removeprefix(f"{path}: ")


def _traits(image: ImageFile.ImageFile, suffix: str, *, deep: bool) -> frozenset[str]:
    """Return traits found in the head of a file; ``deep`` colour is not visible once it is decoded."""
    known = usual_suffixes(image.format or "")
    found = {
        "wrong_extension": bool(known) and suffix not in known,
        "exif_rotation": orientation(image) not in (0, 1),
        "cmyk": image.mode == "CMYK",
        "sixteen_bit": image.mode in DEEP or deep,
        "animated": getattr(image, "n_frames", 1) > 1 and image.format not in _STILL,
        "large": image.width * image.height > _LARGE,
    }
    return frozenset(trait for trait, is_so in found.items() if is_so)


def _decoded_traits(image: ImageFile.ImageFile, how: Reading) -> frozenset[str]:
    """Return traits found in the pixels."""
    if image.mode in DEEP:
        return _deep_traits(np.asarray(image), how)
    if not has_alpha(image):
        return frozenset()
    return frozenset(("alpha",) if is_transparency(image.convert("RGBA")) else ("not_alpha",))


def _deep_traits(values: np.ndarray, how: Reading) -> frozenset[str]:
    found = seen(values)
    beyond = how.levels is not None and (found.low < how.levels[0] or found.high > how.levels[1])
    odd = values.dtype.kind == "f" and not np.isfinite(values).all()
    return frozenset(("beyond_levels",) * beyond + ("not_finite",) * odd)


def _from_afar(image: Image.Image) -> tuple[int, UInt8[np.ndarray, "16 16"]]:
    """Return the difference hash and the grey thumbnail."""
    grey = image.convert("L")
    signs = np.asarray(grey.resize((9, 8), Image.Resampling.BOX, reducing_gap=3.0)).astype(np.int16)
    look = int.from_bytes(np.packbits(signs[:, 1:] > signs[:, :-1]).tobytes(), "big")
    return look, np.asarray(grey.resize((THUMB, THUMB), Image.Resampling.BOX, reducing_gap=3.0))
