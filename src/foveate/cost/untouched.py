"""Run a model and leave it as it was: modes, buffers, gradients and random state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from foveate.errors import ShapeError

Example = Tensor | Sequence[object] | Mapping[str, object]


@contextmanager
def untouched(model: nn.Module, *, training: bool = False) -> Iterator[None]:
    """Put every module in eval mode (training mode if ``training``), and everything back at the end.

    Gradients start out empty inside, so that a backward pass allocates them as the first step of a training
    does.
    """
    modes = {module: module.training for module in model.modules()}
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()] if training else []
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    with torch.random.fork_rng(devices=_cuda_devices(model)):
        try:
            model.train(training)
            for parameter, _ in gradients:
                parameter.grad = None
            yield
        finally:
            for module, mode in modes.items():
                module.training = mode
            with torch.no_grad():
                for buffer, value in buffers:
                    buffer.copy_(value)
            for parameter, gradient in gradients:
                parameter.grad = gradient


def _cuda_devices(model: nn.Module) -> list[int]:
    return sorted({p.device.index or 0 for p in model.parameters() if p.device.type == "cuda"})


def forward(model: nn.Module, example: Example) -> object:
    """Call the model: a mapping gives keywords, a tuple positional arguments, anything else one argument."""
    if isinstance(example, Mapping):
        return model(**example)
    if isinstance(example, tuple):
        return model(*example)
    return model(example)


def backward(outputs: object) -> None:
    """Run the backward pass of every floating tensor in ``outputs``, each with a gradient of ones.

    Raises:
        ShapeError: No tensor in ``outputs`` can be differentiated.
    """
    found = [t for t in tensors(outputs) if t.requires_grad and t.is_floating_point()]
    if not found:
        raise ShapeError(
            "measuring a training step: the model's output holds no tensor with a gradient. "
            "Turn requires_grad on for some parameter, or measure with training=False."
        )
    torch.autograd.backward(found, [torch.ones_like(t) for t in found])


def tensors(value: object) -> list[Tensor]:
    """Return the tensors in a tensor, or in nested lists, tuples and mappings of them."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, Mapping):
        return [t for part in value.values() for t in tensors(part)]
    if isinstance(value, (list, tuple)):
        return [t for part in value for t in tensors(part)]
    return []
