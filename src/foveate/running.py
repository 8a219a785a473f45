"""Run a network and leave it as it was: its modes, its buffers and gradients, and the random state."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn


def call_with(model: nn.Module, example: object) -> object:
    """Call the model as the example says: a mapping by keyword, a tuple by position, or one argument."""
    if isinstance(example, Mapping):
        return model(**example)
    if isinstance(example, tuple):
        return model(*example)
    return model(example)


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Set every module to eval mode, and restore the mode of each at the end."""
    with _modes_restored(model):
        model.eval()
        yield


@contextmanager
def eval_no_grad(network: object) -> Iterator[None]:
    """Compute no gradients, and set the network to eval mode if it is a module; restore both at the end."""
    with torch.no_grad():
        if isinstance(network, nn.Module):
            with eval_mode(network):
                yield
        else:
            yield


@contextmanager
def eval_seeded(model: nn.Module, *, gradients: bool = False) -> Iterator[None]:
    """Run in eval mode with a fixed seed and, unless ``gradients``, without gradients; restore all of it."""
    with _random_state_restored(), torch.set_grad_enabled(gradients), eval_mode(model):
        torch.manual_seed(0)
        yield


@contextmanager
def untouched(model: nn.Module, *, training: bool = False) -> Iterator[None]:
    """Set eval mode (training mode if ``training``), and restore the whole model at the end.

    Modes, random state, gradients and, if ``training``, buffers. Gradients start out empty inside, so that a
    backward pass allocates them, as the first training step does.
    """
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()] if training else []
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    with _random_state_restored(), _modes_restored(model):
        try:
            model.train(training)
            for parameter, _ in gradients:
                parameter.grad = None
            yield
        finally:
            with torch.no_grad():
                for buffer, value in buffers:
                    buffer.copy_(value)
            for parameter, gradient in gradients:
                parameter.grad = gradient


@contextmanager
def fast_path_off() -> Iterator[None]:
    """Keep ``nn.TransformerEncoderLayer`` from running as one fused operation that hides what is inside."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


def device_of(model: nn.Module) -> torch.device:
    """Return the device of the model's first tensor; the CPU for a model without any."""
    first: Tensor | None = next(itertools.chain(model.parameters(), model.buffers()), None)
    return torch.device("cpu") if first is None else first.device


@contextmanager
def _modes_restored(model: nn.Module) -> Iterator[None]:
    before = {module: module.training for module in model.modules()}
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training


def _random_state_restored() -> AbstractContextManager[None]:
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    return torch.random.fork_rng(devices=devices)
