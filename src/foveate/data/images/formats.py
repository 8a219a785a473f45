"""Which files are read as pictures, by name and by content; and which pictures are not read, with what to do.

Only the formats named here are decoded. Pillow knows more, among them some that start another program
(PostScript starts Ghostscript) whatever the file is called.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import features

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
UNREAD = {
    **{suffix: "install a Pillow that reads them" for known in _BY_FORMAT.values() for suffix in known},
    **_UNREAD,
}
UNREAD = {suffix: advice for suffix, advice in UNREAD.items() if suffix not in SUFFIXES}


def formats_for(path: Path) -> tuple[str, ...]:
    """Return the formats that a file may hold; TGA, which has no mark of its own, by name only."""
    _register()
    return _OPENED if path.suffix.lower() == ".tga" else tuple(form for form in _OPENED if form != "TGA")


def usual_suffixes(form: str) -> tuple[str, ...]:
    """Return how files of a format are usually called; empty if nobody can say."""
    return _BY_FORMAT.get(form, ())


def unread_pictures(files: Iterable[Path]) -> tuple[Path, ...]:
    """Return the files that are pictures by name, of formats that are not read."""
    return tuple(file for file in files if file.suffix.lower() in UNREAD)


def unread_advice(files: Iterable[Path]) -> str:
    """Return what can be done about pictures that are not read, in one sentence a kind."""
    by_advice: dict[str, list[str]] = {}
    for suffix in sorted({file.suffix.lower() for file in files}):
        by_advice.setdefault(UNREAD[suffix], []).append(suffix)
    return " ".join(f"{', '.join(suffixes)}: {advice}." for advice, suffixes in by_advice.items())


@cache
def _register() -> None:
    """Teach Pillow HEIC, where the package for it is installed."""
    if "HEIF" in FORMATS:
        from pillow_heif import register_heif_opener  # type: ignore[import-not-found]

        register_heif_opener()
