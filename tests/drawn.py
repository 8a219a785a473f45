"""Weights of every kind drawn at random, so that no layer is at its harmless start."""

import torch
from torch import nn


def unset(build, *args, **options):
    """Return a model whose weights are whatever was in memory: for those that are loaded or drawn next."""
    with torch.device("meta"):
        model = build(*args, **options)
    return model.to_empty(device="cpu")


def drawn(model, seed=0):
    """Return ``model`` in eval mode, its normalisations and their statistics drawn too."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(tensor, low, high):
        tensor.data.uniform_(low, high, generator=generator)

    for module in model.modules():
        for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            if not tensor.is_floating_point():
                continue
            if name == "running_var" or (
                name == "weight" and isinstance(module, nn.modules.batchnorm._NormBase)
            ):
                uniform(tensor, 0.5, 1.2)
            elif tensor.ndim > 1:
                scale = (3 / tensor[0].numel()) ** 0.5  # the variance stays about as it is
                uniform(tensor, -scale, scale)
            else:
                uniform(tensor, -0.3, 0.3)
    return model.eval()
