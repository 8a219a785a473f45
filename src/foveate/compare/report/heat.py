"""Weights over places as a small picture that shades what was not read; the browser enlarges it smoothly."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

_DARKEST = 0.72


def heat(weights: Sequence[float], places: Sequence[int]) -> str:
    """Return a data URI of a picture of one pixel a place: clear where most was read, dark where least.

    Args:
        weights: One number a place, row by row; further ones, such as a sentinel's, are left out.
        places: Rows and columns.
    """
    rows, columns = places
    values = np.array(weights[: rows * columns], dtype=float).reshape(rows, columns)
    shade = 1 - values / max(values.max(), 1e-12)
    pixels = np.zeros((rows, columns, 4), np.uint8)
    pixels[..., 3] = np.round(255 * _DARKEST * shade)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()
