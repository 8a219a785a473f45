"""Small captioners of others, with inputs, outputs and gradients, computed with the originals' code.

``originals/*.npz`` hold weights ``w/``, inputs ``in/``, outputs ``out/`` and gradients ``grad/``, all under
the originals' names. They were computed in float64, from weights and inputs that are exact in float32.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from foveate.models import load_published

FOLDER = Path(__file__).with_name("originals")


def original(name):
    """Return what is stored of an original, in float64, by its group and name."""
    found = {"w": {}, "in": {}, "out": {}, "grad": {}}
    with np.load(FOLDER / f"{name}.npz") as arrays:
        for entry in arrays.files:
            group, rest = entry.split("/", 1)
            value = torch.from_numpy(np.array(arrays[entry]))
            found[group][rest] = value.double() if value.is_floating_point() else value
    return found["w"], found["in"], found["out"], found["grad"]


def loaded(model, weights, folder, file="published.pth"):
    """Return the model for evaluation, in float64, with an original's weights loaded from a file."""
    path = folder / file
    if file.endswith(".npz"):
        np.savez(path, **{name: value.numpy() for name, value in weights.items()})
    elif file.endswith(".safetensors"):
        save_file(weights, path)
    else:
        torch.save(weights, path)
    model = model.double().eval()
    assert load_published(model, path) == ()
    return model
