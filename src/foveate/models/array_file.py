"""Weights in NumPy's .npz files, as models written in Theano were saved."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from foveate.errors import CheckpointError

# What authors kept beside the weights: a record of the errors, and the weights once more, pickled.
_NOT_WEIGHTS = ("zipped_params", "history_errs")


def load_arrays(path: Path) -> dict[str, Tensor]:
    """Return the arrays of numbers in a file; nothing that is pickled is read.

    Raises:
        CheckpointError: It is not such a file, or an array is pickled Python objects.
    """
    found = {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            for name in arrays.files:
                if name not in _NOT_WEIGHTS:
                    found[name] = torch.from_numpy(np.array(arrays[name]))
    except ValueError as error:  # of object arrays, with advice to unpickle them
        raise CheckpointError(
            f"{path}: holds pickled Python objects, which foveate does not read, as that may run code. Save "
            "the arrays alone: numpy.savez(path, **{name: array, ...})."
        ) from error
    except (OSError, zipfile.BadZipFile, TypeError) as error:
        raise CheckpointError(f"{path}: cannot be read as NumPy arrays ({error})") from None
    return found
