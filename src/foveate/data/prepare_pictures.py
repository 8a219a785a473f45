"""From pictures to the input of a model, and from their masks to masks of that input.

Shapes  a picture of any size -> uint8 (H, W, 3); several of them -> float32 (B, 3, H, W).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor

from foveate.data.canvas import fit_image, placed
from foveate.data.images.decode import open_upright, read_square, square, upright_rgb
from foveate.data.images.open_image import MOST_PIXELS, Reading
from foveate.data.picture_form import PictureForm
from foveate.errors import ShapeError
from foveate.typed import quoted

Pixels = UInt8[np.ndarray, "h w 3"]


def pixels_of(picture: object, form: PictureForm, max_pixels: int = MOST_PIXELS) -> Pixels:
    """Return a picture at the model's size.

    Args:
        picture: A file, a PIL picture, or an array (h, w, 3) of uint8.
        form: What the model expects.
        max_pixels: Of the largest file that is decoded.

    Raises:
        DataError: The file cannot be read.
        ShapeError: Something else came.
    """
    how, side = Reading(form.levels, max_pixels), form.size[0]
    if isinstance(picture, str | Path):
        path = Path(picture)
        return read_square(path, side, how) if form.cut else fit_image(open_upright(path, how), form.size)
    if isinstance(picture, Image.Image):
        picture = np.asarray(upright_rgb(picture, form.levels))
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or picture.shape[2:] != (3,):
        raise ShapeError(
            f"a picture: got {quoted(picture)}, expected a file, a PIL picture or an array (H, W, 3) of uint8"
        )
    return square(picture, side) if form.cut else fit_image(picture, form.size)


def mask_of(mask: Bool[np.ndarray, "h w"], form: PictureForm) -> Bool[np.ndarray, "H W"]:
    """Return a mask of a picture, resized (nearest) and cut or padded as the picture is."""
    height, width = mask.shape
    if form.cut:
        side, short = form.size[0], min(height, width)
        top, left = (height - short) // 2, (width - short) // 2
        inside = Image.fromarray(mask[top : top + short, left : left + short])
        return np.asarray(inside.resize((side, side), Image.Resampling.NEAREST))
    place, out = placed(height, width, form.size), np.zeros(form.size, dtype=bool)
    out[place.box] = Image.fromarray(mask).resize((place.width, place.height), Image.Resampling.NEAREST)
    return out


def batch_of(
    pixels: Sequence[Pixels], form: PictureForm, device: torch.device | str = "cpu"
) -> Float[Tensor, "b 3 H W"]:
    """Return pictures at the model's size as the model takes them: normalised, channels first."""
    images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (form.mean, form.std))
    return ((images - mean) / std).contiguous().to(device)
