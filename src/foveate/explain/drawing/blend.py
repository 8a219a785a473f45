"""Blend a map into the pixels of a picture, which turns grey so that all colour is the map's.

Shapes  image uint8 (H, W, 3); map float (h, w), any range; NaN where the map says nothing.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from foveate.errors import ShapeError
from foveate.explain.drawing.colour import Scale, scale_of

LARGE = 448  # pixels; the shorter side of a picture under a map, at least
_STRENGTH = 0.35  # of the colour where the map is dark; as much again where it is bright
_GREY = np.array([0.299, 0.587, 0.114])


def blended(
    image: UInt8[np.ndarray, "hh ww 3"],
    values: Float[np.ndarray, "h w"],
    *,
    scale: Scale | None = None,
    smooth: bool = True,
) -> UInt8[np.ndarray, "hh ww 3"]:
    """Return the picture in grey with the map over it in colour; the picture shows most where the map is low.

    Args:
        image: The picture, at the size that is wanted.
        values: The map; it is stretched over the whole picture.
        scale: Which value gets which colour; by default the map's own range.
        smooth: Interpolate between the map's places, and not show them as squares.

    Raises:
        ShapeError: The image or the map has another shape.
    """
    expect_pair(image, values)
    height, width = image.shape[:2]
    scale = scale or scale_of(values)
    level = scale.levels(resized(values, (height, width), smooth=smooth))
    unknown = np.isnan(level)
    share = np.where(unknown, 0.0, strength(np.nan_to_num(level), signed=scale.signed))[..., None]
    grey = (image @ _GREY)[..., None]
    mixed = (1 - share) * grey + share * 255 * scale.of_levels(level)
    mixed = np.where(_hatching(height, width)[..., None] & unknown[..., None], 128.0, mixed)
    out: UInt8[np.ndarray, "hh ww 3"] = mixed.round().astype(np.uint8)
    return out


def strength(levels: Float[np.ndarray, "*shape"], *, signed: bool) -> Float[np.ndarray, "*shape"]:
    """Return how much colour covers the picture at each level of a ``Scale``, in [0, 1].

    The picture stays visible, most where the map is low; a signed map leaves it alone where it is zero.
    """
    return 2 * _STRENGTH * np.abs(2 * levels - 1) if signed else _STRENGTH * (1 + levels)


def resized(
    values: Float[np.ndarray, "h w"], size: tuple[int, int], *, smooth: bool = True
) -> Float[np.ndarray, "hh ww"]:
    """Return a map at another size (height, width): bilinear between the centres of its places, or squares.

    A place without a value (NaN) stays without one, and lends none to its neighbours.
    """
    known = np.isfinite(values)
    if smooth and not known.all():
        filled = np.where(known, values, 0.0)
        weight = resized(known.astype(np.float64), size)
        total = resized(filled, size)
        shown = resized(known.astype(np.float64), size, smooth=False) > 0
        return np.where(shown, total / np.maximum(weight, 1e-9), np.nan)
    how = Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST
    picture = Image.fromarray(np.ascontiguousarray(values, np.float32))
    return np.asarray(picture.resize((size[1], size[0]), how), np.float64)


def enlarged(image: UInt8[np.ndarray, "h w 3"], least: int = LARGE) -> UInt8[np.ndarray, "hh ww 3"]:
    """Return a picture whose shorter side is at least ``least``; a small one is enlarged by the pixel."""
    times = max(1, -(-least // min(image.shape[:2])))
    return image if times == 1 else image.repeat(times, axis=0).repeat(times, axis=1)


def expect_pair(image: np.ndarray, values: np.ndarray) -> None:
    """Raise unless these are a picture and a map.

    Raises:
        ShapeError: One has another shape, or the map is empty.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ShapeError(f"image: got {image.shape} {image.dtype}, expected (H, W, 3) of uint8")
    if values.ndim != 2 or not values.size:
        raise ShapeError(
            f"map: got shape {values.shape}, expected (h, w). Give one map; average heads and channels first."
        )


def _hatching(height: int, width: int) -> np.ndarray:
    """Mark diagonal lines, four pixels apart of each eight."""
    return (np.arange(height)[:, None] + np.arange(width)[None]) % 8 < 4
