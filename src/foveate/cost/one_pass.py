"""One forward pass, or one training step, of any model."""

from __future__ import annotations

import torch
from torch import nn

from foveate.errors import ShapeError
from foveate.inputs import Example
from foveate.nested_tensors import tensors_in
from foveate.running import call_with


def run_once(model: nn.Module, example: Example, *, training: bool) -> None:
    """Run the model forward without gradients or, if ``training``, forward and backward.

    The backward pass is that of every floating tensor in the output, each with a gradient of ones.

    Raises:
        ShapeError: ``training``, and no tensor in the output can be differentiated.
    """
    if not training:
        with torch.no_grad():
            call_with(model, example)
        return
    outputs = call_with(model, example)
    found = [t for t in tensors_in(outputs) if t.requires_grad and t.is_floating_point()]
    if not found:
        raise ShapeError(
            "measuring a training step: the model's output holds no tensor with a gradient. "
            "Turn requires_grad on for some parameter, or measure with training=False."
        )
    torch.autograd.backward(found, [torch.ones_like(t) for t in found])
