"""``fv.predict``: what a trained model sees in pictures, wherever they lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor, nn

from foveate.data.folders.picture_lists import pictures_of
from foveate.data.images.open_image import MOST_PIXELS
from foveate.errors import CheckpointError
from foveate.infer.load import load
from foveate.infer.load import predict as predicted
from foveate.train.training import Training


def predict(
    model: nn.Module | Training | str | Path,
    inputs: object,
    *,
    trust_code: bool = False,
    max_pixels: int = MOST_PIXELS,
) -> Tensor | list[Tensor]:
    """Return probabilities for pictures: (N, classes), or of a network that segments a list of (K, H, W).

    Args:
        model: What ``fv.load`` or ``fv.train`` returned, or the folder of a study or of a training.
        inputs: Files, folders, lists (.txt, .csv) or patterns (``photos/*.jpg``); PIL pictures; arrays
            (H, W, 3) or (N, H, W, 3) uint8; or a sequence of such.
        trust_code: Whether to run code of other packages that the folder of a model names; see ``fv.load``.
        max_pixels: Pixels of the largest file that is decoded.

    Returns:
        Of a classifier one row a picture, float32; of a segmenter the probabilities of the pixels of each
        picture, at its own size.

    Raises:
        CheckpointError: There is no model in the folder, or the module is not one that was trained here.
        TrustError: The folder names code of another package, and ``trust_code`` is False.
        DataError: A picture cannot be read, or none is meant.
        ShapeError: Something other than pictures came.
    """
    if isinstance(model, Training):
        model = model.model
    elif isinstance(model, str | Path):
        model = load(model, trust_code=trust_code)
    if "config" not in model.__dict__:
        raise CheckpointError(
            f"predict: got a {type(model).__name__} that does not know its classes and size. Give the folder "
            "of a study or of a training, or what fv.load or fv.train returned."
        )
    return predicted(model, _pictures(inputs), max_pixels=max_pixels)


def _pictures(inputs: object) -> object:
    if isinstance(inputs, np.ndarray) or not isinstance(inputs, str | Path | list | tuple):
        return inputs
    found: list[object] = []
    for one in [inputs] if isinstance(inputs, str | Path) else inputs:
        is_name = isinstance(one, str | Path)
        found += [picture.path for picture in pictures_of([one])] if is_name else [one]
    return found
