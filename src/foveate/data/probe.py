"""Look at one image once: is it sound, what is it, and what does it look like from afar?

The bytes are read once and decoded once; a JPEG at reduced scale, which still reads all of its data.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFile

from foveate.data.decode import upright_rgb

THUMB = 16  # pixels a side of the thumbnail that near duplicates are confirmed on
_ORIENTATION = 0x0112  # the EXIF tag
_STILL = ("MPO",)  # a JPEG with a preview or a second view behind it, as telephones write
_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg"),
    "MPO": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm"),
}


@dataclass(frozen=True)
class Probe:
    """What one look at an image told.

    Args:
        problem: "empty", "unreadable", "truncated", "bomb", or None for a sound image.
        detail: What exactly is wrong, in words.
        digest: Hash of the bytes, or of the pixels if there is no file.
        size: Width and height in pixels; (0, 0) if unknown.
        traits: Of "wrong_extension", "exif_rotation", "alpha", "cmyk", "sixteen_bit", "animated", "large".
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


def probe_file(path: Path) -> Probe:
    """Return what a look at a file tells. It never raises: whatever is wrong stands in the probe."""
    try:
        data = path.read_bytes()
    except OSError as error:
        return Probe(problem="unreadable", detail=str(error.strerror))
    if not data:
        return Probe(problem="empty", detail="0 bytes")
    digest = hashlib.blake2b(data, digest_size=16).hexdigest()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow warns of is looked at here, by its cause
        return _probe_bytes(path.suffix.lower(), data, digest)


def probe_pixels(image: UInt8[np.ndarray, "h w 3"]) -> Probe:
    """Return what a look at a decoded image tells."""
    look, thumb = _from_afar(Image.fromarray(image))
    digest = hashlib.blake2b(f"{image.shape}".encode() + image.tobytes(), digest_size=16).hexdigest()
    return Probe(digest=digest, size=(image.shape[1], image.shape[0]), look=look, thumb=thumb)


def _probe_bytes(suffix: str, data: bytes, digest: str) -> Probe:
    try:
        image = Image.open(io.BytesIO(data))
    except Image.DecompressionBombError as error:
        return Probe(problem="bomb", detail=str(error), digest=digest)
    except Exception as error:  # Pillow raises anything from OSError to struct.error for broken files
        detail = "not an image of a known format" if "cannot identify" in str(error) else str(error)
        return Probe(problem="unreadable", detail=detail, digest=digest)
    with image:
        size = image.size
        try:
            traits = _traits(image, suffix)
            image.draft(None, (4 * THUMB, 4 * THUMB))
            look, thumb = _from_afar(upright_rgb(image))
        except Exception as error:
            cut_short = "truncated" in str(error) or "EOF" in str(error) or isinstance(error, EOFError)
            problem = "truncated" if cut_short else "unreadable"
            return Probe(problem=problem, detail=f"{type(error).__name__}: {error}", digest=digest, size=size)
    return Probe(digest=digest, size=size, traits=traits, look=look, thumb=thumb)


def _traits(image: ImageFile.ImageFile, suffix: str) -> frozenset[str]:
    deep = _deep(image)  # first: reading a PNG's EXIF decodes it, and then its tiles are gone
    known = _SUFFIXES.get(image.format or "", ())
    found = {
        "wrong_extension": bool(known) and suffix not in known,
        "exif_rotation": image.getexif().get(_ORIENTATION, 1) not in (0, 1),
        "alpha": image.mode in _ALPHA or "transparency" in image.info,
        "cmyk": image.mode == "CMYK",
        "sixteen_bit": image.mode.startswith(("I", "F")) or deep,
        "animated": getattr(image, "n_frames", 1) > 1 and image.format not in _STILL,
        "large": image.width * image.height > (Image.MAX_IMAGE_PIXELS or np.inf),
    }
    return frozenset(trait for trait, is_so in found.items() if is_so)


def _deep(image: ImageFile.ImageFile) -> bool:
    """Tell 16-bit colour PNG, which Pillow opens as 8-bit: only the raw mode of its tiles still says so."""
    return any(";16" in str(tile.args) for tile in image.tile)


def _from_afar(image: Image.Image) -> tuple[int, UInt8[np.ndarray, "16 16"]]:
    """Return the difference hash and the grey thumbnail."""
    grey = image.convert("L")
    signs = np.asarray(grey.resize((9, 8), Image.Resampling.BOX, reducing_gap=3.0)).astype(np.int16)
    look = int.from_bytes(np.packbits(signs[:, 1:] > signs[:, :-1]).tobytes(), "big")
    return look, np.asarray(grey.resize((THUMB, THUMB), Image.Resampling.BOX, reducing_gap=3.0))
