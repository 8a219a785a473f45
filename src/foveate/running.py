"""Run a network and leave it as it was: evaluation mode, no gradients, and the device that it is on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def asking(run: object) -> Iterator[None]:
    """Set a network to evaluation and compute no gradients; afterwards all is as it was."""
    with torch.no_grad():
        if isinstance(run, nn.Module):
            with evaluating(run):
                yield
        else:
            yield


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Set every module to evaluation, and afterwards each back to what it was."""
    before = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training


def device_of(model: nn.Module) -> torch.device:
    """Return where the model's first tensor is; the CPU for a model without any."""
    first: Tensor | None = next(itertools.chain(model.parameters(), model.buffers()), None)
    return torch.device("cpu") if first is None else first.device
