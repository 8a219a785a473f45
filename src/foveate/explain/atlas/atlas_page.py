"""Write an atlas: pictures and packed layers in one page, each unpacked when it is first shown."""

from __future__ import annotations

import base64
import hashlib
import io
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from foveate.explain.atlas.atlas_content import Atlas, AtlasLayer, AtlasPicture, Axis, Table, values_of
from foveate.explain.atlas.page_text import as_text
from foveate.explain.atlas.row_codes import LEVELS, SIGNED_WORST, WORST, coded
from foveate.explain.drawing.blend import resized
from foveate.explain.drawing.colour import SIGNED, WEIGHTS, palette, scale_of
from foveate.files import write_bytes
from foveate.version import __version__

USUAL_SIZE = 30_000_000  # bytes of a page, about
PALETTES = (WEIGHTS, "viridis", "cividis", "magma", "gray")
_LARGEST_MAP = 128  # rows and columns of the map of a method
_PHOTO = 96  # pixels; smaller pictures are kept to the bit
_LONGEST = 640
_BYTES_A_VALUE = 0.45  # about, of packed weights
_MARKER = "@@packed@@"


def write_atlas(atlas: Atlas, path: Path | str, *, size: int = USUAL_SIZE) -> int:
    """Write an atlas as one HTML file that loads nothing, and return its size in bytes.

    Args:
        atlas: What it shows.
        path: The file; its folder is made if it is missing.
        size: Bytes that it should not exceed. If the weights of all queries would, every second or third row
            and column of queries is kept, as far as that takes; the page says so.

    Raises:
        OSError: The file cannot be written.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    data = render(atlas, size=size).encode("utf-8", errors="backslashreplace")
    write_bytes(target, data)
    return len(data)


def render(atlas: Atlas, *, size: int = USUAL_SIZE) -> str:
    """Return an atlas as HTML; see ``write_atlas``."""
    step = _step(atlas, size)
    page = _Page()
    content = {
        "palettes": {name: _hex(name) for name in PALETTES} | {"signed": _hex(SIGNED)},
        "pictures": [page.picture(picture, step) for picture in atlas.pictures],
        "tables": [_table(table) for table in atlas.tables],
        "geometries": page.geometries,
    }
    environment = _environment()
    script = environment.loader.get_source(environment, "atlas.js")[0]  # type: ignore[union-attr]
    text = environment.get_template("atlas.html.j2").render(
        title=atlas.title,
        notes=atlas.notes,
        content=content,
        quantisation=_quantisation(step),
        marker=_MARKER,
        script=script,
        script_hash="sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        version=__version__,
    )
    before, _, after = text.rpartition(f"{_MARKER}\n")
    return "".join([before, *page.packed, after.rstrip(), "\n"])


class _Page:
    """What the page's script reads: packed data by identifier, and each geometry once."""

    def __init__(self) -> None:
        self.packed: list[str] = []
        self.geometries: list[dict[str, Any]] = []
        self._known: dict[bytes, int] = {}

    def picture(self, picture: AtlasPicture, step: int) -> dict[str, Any]:
        height, width = picture.image.shape[:2]
        return {
            "name": picture.name,
            "width": width,
            "height": height,
            "image": photo(picture.image),
            "prediction": [[name, round(float(share), 4)] for name, share in picture.prediction],
            "truth": picture.truth,
            "tables": [_table(table) for table in picture.tables],
            "layers": [self.layer(layer.thinned(step)) for layer in picture.layers],
            "maps": [self.map(name, values) for name, values in picture.maps.items()],
        }

    def layer(self, layer: AtlasLayer) -> dict[str, Any]:
        codes = coded(layer)
        return {
            "name": layer.name,
            "heads": [*layer.heads] or [str(number) for number in range(len(layer.weights))],
            "signed": codes.signed,
            "note": layer.note,
            "sets": None if layer.sets is None else layer.sets.tolist(),
            "geometry": self.geometry(layer),
            "blob": self.pack(codes.data),
        }

    def map(self, name: str, values: np.ndarray) -> dict[str, Any]:
        rows, columns = (min(side, _LARGEST_MAP) for side in values.shape)
        if (rows, columns) != values.shape:
            values = resized(values, (rows, columns))
        values = np.nan_to_num(values)
        scale = scale_of(values)
        return {
            "name": name,
            "rows": rows,
            "columns": columns,
            "low": scale.low,
            "high": scale.high,
            "signed": scale.signed,
            "blob": self.pack(np.round(255 * scale.levels(values)).astype(np.uint8).tobytes()),
        }

    def geometry(self, layer: AtlasLayer) -> int:
        plain = {"queries": _axis(layer.queries), "keys": _axis(layer.keys)}
        key = hashlib.sha256(repr(plain).encode()).digest()
        if key not in self._known:
            self._known[key] = len(self.geometries)
            self.geometries.append(plain)
        return self._known[key]

    def pack(self, data: bytes) -> dict[str, Any]:
        packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        packed = packer.compress(data) + packer.flush()
        name = f"packed-{len(self.packed)}"
        self.packed.append(f'<script type="text/plain" id="{name}">{as_text(packed)}</script>\n')
        return {"id": name, "packed": len(packed)}


def photo(image: np.ndarray) -> str:
    """Return a picture as a data URI: small ones to the bit, others as JPEG of at most 640 pixels a side."""
    picture, data = Image.fromarray(np.ascontiguousarray(image)), io.BytesIO()
    if max(picture.size) <= _PHOTO:
        picture.save(data, "PNG", optimize=True)
        kind = "png"
    else:
        picture.thumbnail((_LONGEST, _LONGEST), Image.Resampling.LANCZOS)
        picture.save(data, "JPEG", quality=88)
        kind = "jpeg"
    return f"data:image/{kind};base64," + base64.b64encode(data.getvalue()).decode()


def _step(atlas: Atlas, size: int) -> int:
    """Return which rows and columns of queries are kept: every one, or every second, and so on."""
    for step in range(1, 17):
        kept = sum(values_of([layer.thinned(step) for layer in p.layers]) for p in atlas.pictures)
        if kept * _BYTES_A_VALUE <= size:
            return step
    return 16


def _quantisation(step: int) -> str:
    text = (
        f"Colours show each weight as one of {LEVELS + 1} levels, on a square-root scale up to the largest "
        f"weight of its row: off by at most {100 * WORST:.1f} % of that ({100 * SIGNED_WORST:.0f} % where "
        "weights can be negative). Numbers with “about” come from levels. Largest weight, entropy and the "
        "shares on named tokens and on padding were computed from the weights themselves; shares and entropy "
        "are kept to 0.2 %."
    )
    if step > 1:
        text += f" To keep the file small, only one query of each {step}×{step} is kept."
    return text


def _axis(axis: Axis) -> dict[str, Any]:
    cells = axis.cells
    return {
        "entries": axis.entries,
        "grid": None if axis.grid is None else [*axis.grid],
        "parts": 1 if cells is None else cells.shape[2],
        "cells": None if cells is None else [one.ravel().tolist() for one in cells],
        "names": [[entry, name] for entry, name in sorted(axis.names.items())],
        "reach": [*axis.reach],
    }


def _table(table: Table) -> dict[str, Any]:
    return {
        "caption": table.caption,
        "columns": [*table.columns],
        "rows": [[str(cell) for cell in row] for row in table.rows],
    }


def _hex(name: str) -> str:
    return "".join(_bytes_of(palette(name)))


def _bytes_of(colours: np.ndarray) -> Iterator[str]:
    return (bytes(colour).hex() for colour in np.round(255 * colours).astype(np.uint8))


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader("foveate.explain.atlas"), jinja2.PackageLoader("foveate.explain.drawing")]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}  # and in the order they have
    return environment
