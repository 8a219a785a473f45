"""Where recorded weights are kept: where they were computed, on another device, or in a folder."""

from __future__ import annotations

import re

import numpy as np
import torch
from torch import Tensor

from foveate.explain.recording.choice import Choice


def stored(weights: Tensor, choice: Choice, path: str, order: int) -> Tensor:
    """Return weights as the choice wants them kept.

    In a folder, each call is one NumPy file, ``<order>-<path>.npy``, and the tensor is mapped from it.
    """
    if choice.folder is not None:
        return _written(weights, choice, path, order)
    return weights if choice.device is None else weights.to(choice.device)


def _written(weights: Tensor, choice: Choice, path: str, order: int) -> Tensor:
    assert choice.folder is not None
    choice.folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^\w.-]", "_", path)[-150:] or "model"
    if weights.dtype == torch.bfloat16:
        weights = weights.float()
    array = weights.cpu().numpy()
    file = choice.folder / f"{order:05}-{name}.npy"
    mapped = np.lib.format.open_memmap(file, mode="w+", dtype=array.dtype, shape=array.shape)
    mapped[...] = array
    mapped.flush()
    return torch.from_numpy(mapped)
