"""What any model costs for one image: parameters, multiply-adds and bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from foveate.cost.counters import count_bytes, count_macs, count_parameters
from foveate.inputs import Example, expect_inputs, expect_model
from foveate.large_pictures import LargePictures
from foveate.mechanisms.facets import Cost


def cost(model: nn.Module, example: Example | LargePictures) -> Cost:
    """Count what a model costs for one image in eval mode.

    The model, its modes and the random state are left as they were.

    Args:
        model: Any module.
        example: What the model takes: a batch (B, C, H, W), of which the first image is used; a list of
            images (C, H, W), of which the first is used; large pictures, likewise; a tuple of several such
            inputs, or a mapping of keywords.

    Returns:
        Parameters (shared ones once, frozen ones too), multiply-adds of one image (each counted once), and
        the bytes of parameters and buffers.

    Raises:
        ShapeError: The model is not a module or does not run on the example, or the example holds no tensor
            to compute with.

    Example:
        >>> import torch
        >>> cost(nn.Conv2d(3, 8, 3, padding=1, bias=False), torch.zeros(1, 3, 10, 10))
        Cost(parameters=216, macs=21600, bytes=864)
    """
    expect_model(model)
    if not isinstance(example, LargePictures):
        expect_inputs(example, model)
    macs = count_macs(model, first_image(example))
    return Cost(parameters=count_parameters(model), macs=macs, bytes=count_bytes(model))


def first_image(example: Any) -> Any:
    """Return the example cut down to its first image."""
    if isinstance(example, LargePictures):
        return example[:1]
    if isinstance(example, Tensor):
        return example[:1] if example.ndim else example
    if isinstance(example, Mapping):
        return {name: first_image(value) for name, value in example.items()}
    if isinstance(example, tuple):
        return tuple(first_image(value) for value in example)
    if isinstance(example, Sequence) and not isinstance(example, str):
        return list(example[:1])
    return example
