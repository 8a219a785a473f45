"""Which models take large pictures as they are, and what others get in their place: an overview.

Shapes  an overview for a model of images is (B, 3, S, S), the middle square, as images of a folder are cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.data.images.open_image import Reading
from foveate.data.large.noise_picture import NoisePicture
from foveate.data.large.open_large import open_large
from foveate.data.large.read_pictures import ReadPictures
from foveate.errors import ShapeError
from foveate.large_pictures import LargePictures
from foveate.models.normalisation import Triple
from foveate.typed import quoted


def takes_large(model: nn.Module) -> bool:
    """Return whether a model wants pictures that are not decoded: its attribute ``takes`` says so."""
    takes = getattr(model, "takes", None)
    return isinstance(takes, type) and issubclass(takes, LargePictures)


def middle_squares(pictures: LargePictures, side: int) -> Float[Tensor, "b 3 s s"]:
    """Return the middle square of each picture, its sides brought to ``side`` pixels."""
    if len({*pictures.sizes}) == 1:
        return _square(pictures, side)
    return torch.cat([_square(pictures[row : row + 1], side) for row in range(len(pictures))])


def large_example(size: tuple[int, int], items: int, mean: Triple, std: Triple) -> ReadPictures:
    """Return pictures of noise of this size, always the same, that a model can be tried on."""
    noise = NoisePicture(size)
    return ReadPictures([lambda: noise] * items, mean, std)


def large_files(files: Sequence[object], how: Reading, mean: Triple, std: Triple) -> ReadPictures:
    """Return files as a model takes them.

    Raises:
        ShapeError: Something else than paths came.
    """
    odd = next((file for file in files if not isinstance(file, str | Path)), None)
    if odd is not None:
        raise ShapeError(f"predict: got {quoted(odd)}, expected the path of a large picture")
    paths = [Path(str(file)) for file in files]
    return ReadPictures([lambda path=path: open_large(path, how) for path in paths], mean, std)  # type: ignore[misc]


def _square(pictures: LargePictures, side: int) -> Float[Tensor, "b 3 s s"]:
    small = pictures.overview(min(1.0, side / min(pictures.sizes[0])))
    short = min(small.shape[2:])
    top, left = ((length - short) // 2 for length in small.shape[2:])
    middle = small[:, :, top : top + short, left : left + short]
    if short == side:
        return middle.contiguous()
    return F.interpolate(middle, (side, side), mode="bilinear", antialias=True, align_corners=False)
