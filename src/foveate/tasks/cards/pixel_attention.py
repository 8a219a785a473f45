"""Where chosen pixels of drawn pictures looked, for a generator that attends over positions.

Shapes  noise (N, Z); conditions (N, K + P + T) or None; weights (N, n, m), n and m places in squares.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor, nn

from foveate.explain.drawing.blend import blended
from foveate.explain.record import record, taps
from foveate.running import eval_no_grad
from foveate.sampling.picture_sheet import as_pictures, sheet

LOOKING = (
    (0.25, 0.25),
    (0.25, 0.75),
    (0.5, 0.5),
    (0.75, 0.25),
    (0.75, 0.75),
)  # rows and columns, of the side
_SIDE = 96  # pixels of a picture under a map, about
_AXES = "b n m"


def pixel_attention(model: nn.Module, noise: Tensor, conditions: Tensor | None) -> Image.Image | None:
    """Return a row for each picture: itself, then where each of five pixels looked, which a square marks.

    The maps are those of the generator's first attention, mean over heads; None without attention.
    """
    with record(model) as maps, eval_no_grad(model):
        pictures = as_pictures(model(noise, conditions))
    found = [
        path
        for path, tap in taps(model).items()
        if path.startswith("generator") and tap.axes == _AXES and path in maps
    ]
    if not found:
        return None
    weights = maps[found[0]].double().cpu().numpy()
    tiles = [tile for one, rows in zip(pictures, weights, strict=True) for tile in _row(one, rows)]
    return sheet(np.stack(tiles), 1 + len(LOOKING))


def place_of(pixel: tuple[float, float], side: int) -> int:
    """Return the number of the place that holds a pixel, row by row.

    Example:
        >>> place_of((0.5, 0.25), 8)
        34
    """
    row, column = (min(side - 1, int(share * side)) for share in pixel)
    return row * side + column


def _row(picture: UInt8[np.ndarray, "s s 3"], weights: Float[np.ndarray, "n m"]) -> list[np.ndarray]:
    times = max(1, round(_SIDE / len(picture)))
    large = picture.repeat(times, axis=0).repeat(times, axis=1)
    own, other = (math.isqrt(length) for length in weights.shape)
    tiles = [large]
    for pixel in LOOKING:
        seen = weights[place_of(pixel, own)].reshape(other, other)
        tiles.append(_marked(blended(large, seen), pixel, own))
    return tiles


def _marked(tile: UInt8[np.ndarray, "s s 3"], pixel: tuple[float, float], places: int) -> np.ndarray:
    """Return a tile with a frame, white in black, around the place that looks."""
    step, at = len(tile) / places, place_of(pixel, places)
    top, left = round(at // places * step), round(at % places * step)
    for inset, colour in ((0, 0), (1, 255)):
        low, high = inset, max(inset + 1, round(step) - inset)
        frame = tile[top + low : top + high, left + low : left + high]
        frame[[0, -1]], frame[:, [0, -1]] = colour, colour
    return tile
