"""From the values that a file holds to RGB of eight bits."""

from __future__ import annotations

import numpy as np
from jaxtyping import Shaped, UInt8

from foveate.data.images.levels import Levels, eight_bits

_COLOURS = 3


def as_rgb(
    values: Shaped[np.ndarray, "h w *c"], levels: Levels, *, alpha: bool = False
) -> UInt8[np.ndarray, "h w 3"]:
    """Return values as RGB.

    Args:
        values: (h, w) or (h, w, 1 or 2), grey; (h, w, 3 or more), colours. bool, uint8, or deeper whole
            numbers or floats.
        levels: The values that become black and white where there are more than eight bits.
        alpha: Whether the channel after the colours is transparency, which is blended over white; further
            channels are left out.
    """
    values = values[:, :, None] if values.ndim < _COLOURS else values
    colours = _COLOURS if values.shape[2] >= _COLOURS else 1
    if values.dtype == bool:
        values = values.astype(np.uint8) * np.uint8(255)
    if values.dtype != np.uint8:
        values = eight_bits(values, levels)
    found = values[:, :, :colours]
    if alpha and values.shape[2] > colours:
        cover = values[:, :, colours : colours + 1].astype(np.uint16)
        found = ((found * cover + 255 * (255 - cover) + 127) // 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(found, (*found.shape[:2], _COLOURS)))
