"""Colour jitter: brightness, contrast and saturation of each image, drawn afresh in every epoch.

With a strength s, each of the three is changed by a factor uniform in [1 - s, 1 + s], in this order, as
torchvision's ``ColorJitter`` does; all three together are one affine map of a pixel's colours, so nothing is
rounded or clipped between them.

Shapes  images uint8 (B, H, W, 3); a row of 3 uniform draws an image.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, UInt8

TINT_DRAWS = 3
_GREY = np.array((0.299, 0.587, 0.114), dtype=np.float32)  # ITU-R 601 luma weights


def tinted(
    images: UInt8[np.ndarray, "b h w 3"], draws: Float64[np.ndarray, "b 3"], strength: float
) -> UInt8[np.ndarray, "b h w 3"]:
    """Return the images with changed colours.

    Args:
        images: RGB.
        draws: Uniform in [0, 1).
        strength: Largest relative change of brightness, contrast and saturation, in [0, 1].
    """
    out = np.empty_like(images)
    for image, place, factors in zip(images, out, 1 + strength * (2 * draws - 1), strict=True):
        bright, contrast, saturation = factors.astype(np.float32)
        pixels = image.reshape(-1, 3).astype(np.float32)
        middle = bright * (pixels.mean(axis=0) @ _GREY)  # contrast scales distances from this grey
        mixing = (
            bright * contrast * (saturation * np.eye(3, dtype=np.float32) + (1 - saturation) * _GREY[:, None])
        )
        changed = pixels @ mixing + (1 - contrast) * middle
        place[:] = changed.round().clip(0, 255).reshape(image.shape)
    return out
