"""``fv.predict``: the predictions of a trained model for the user's inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from foveate.errors import CheckpointError
from foveate.infer.load import load
from foveate.models.given import Given


def predict(
    model: nn.Module | str | Path | Any,
    inputs: object,
    *,
    trust_code: bool = False,
    given: Given | None = None,
    **options: Any,
) -> Any:
    """Return a model's predictions for inputs; for images, probabilities.

    Args:
        model: What ``fv.load`` or ``fv.train`` returned, or the folder of a study or of a training.
        inputs: What the model's task takes. Of images: files, folders, lists (.txt, .csv) or patterns
            (``photos/*.jpg``); PIL pictures; arrays (H, W, 3) or (N, H, W, 3) uint8; or a list of such.
        trust_code: Whether to run code of other packages that the folder of a model names; see ``fv.load``.
        given: What the training was given as its model, if that was a Python object; see ``fv.load``.
        options: Of the task, such as ``max_pixels``, the pixels of the largest file that is decoded.

    Returns:
        Of a classifier one row of probabilities a picture, float32 (N, classes); of a network that segments a
        list with the probabilities of the pixels of each picture, (K, H, W) at its own size.

    Raises:
        CheckpointError: There is no model in the folder, or the module is not one that was trained here.
        TrustError: The folder names code of another package, and ``trust_code`` is False.
        DataError: An input cannot be read, or none is meant.
        ShapeError: Something other than such inputs came.
    """
    if isinstance(model, str | Path):
        model = load(model, trust_code=trust_code, model=given)
    elif not isinstance(model, nn.Module):
        model = getattr(model, "model", model)  # what fv.train returned
    task = getattr(model, "__dict__", {}).get("task")
    if task is None:
        raise CheckpointError(
            f"predict: got a {type(model).__name__} that does not know its task. Give the folder "
            "of a study or of a training, or what fv.load or fv.train returned."
        )
    return task.predict(model, inputs, **options)
