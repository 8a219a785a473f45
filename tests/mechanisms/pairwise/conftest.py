from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from foveate.mechanisms.base import Mechanism, build
from foveate.mechanisms.map_tap import MapTap


class Largest(TorchDispatchMode):
    """Remember the number of elements of the largest tensor that any operator returns."""

    elements, operator = 0, ""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(tensor, Tensor) and tensor.numel() > self.elements:
                self.elements, self.operator = tensor.numel(), str(func)
        return out


@pytest.fixture
def largest() -> type[Largest]:
    return Largest


@pytest.fixture
def double() -> Callable[..., Mechanism]:
    """Build a mechanism in float64 whose gate is open and whose parameters are all random."""

    def make(name: str, channels: int, **options: object) -> Mechanism:
        torch.manual_seed(0)
        module = build(name, channels, **options).double().eval()
        for parameter in module.parameters():
            nn.init.normal_(parameter, std=0.5)
        return module

    return make


@pytest.fixture
def explicit() -> Callable[[Mechanism, Tensor], Tensor]:
    """Run a mechanism as under a recorder: with every weight formed."""

    def run(module: Mechanism, x: Tensor) -> Tensor:
        taps = [m for m in module.modules() if isinstance(m, MapTap)]
        for tap in taps:
            tap.recording = True
        try:
            return module(x)
        finally:
            for tap in taps:
                tap.recording = False

    return run
