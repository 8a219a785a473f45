"""Parameters, bytes and multiply-adds of any model, each as one number.

Every operator that PyTorch dispatches is seen, fused attention on the CPU included, so that the count does
not depend on which kernel runs.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from foveate.cost.operator_macs import has_formula, macs_of
from foveate.errors import FoveateError, ShapeError
from foveate.inputs import Example
from foveate.mechanisms.switch import as_written, uncompiled
from foveate.running import call_with, fast_path_off, untouched


def count_parameters(model: nn.Module) -> int:
    """Return the number of parameters: shared ones once, frozen ones too."""
    return sum(p.numel() for p in model.parameters())


def count_bytes(model: nn.Module) -> int:
    """Return the bytes of parameters and buffers."""
    return sum(t.numel() * t.element_size() for t in chain(model.parameters(), model.buffers()))


def count_macs(model: nn.Module, example: Example) -> int:
    """Run the model once in eval mode and return the multiply-adds, each counted once.

    The model, its modes and the random state are left as they were.

    Args:
        model: Any module.
        example: What it takes; all of its batch counts.

    Raises:
        ShapeError: The model does not run on the example.
    """
    # no_grad, not inference_mode: there composite operators arrive undecomposed and would be missed.
    # Operator by operator: no compiled graph, no fast path of whole transformer layers.
    with (
        untouched(model),
        torch.no_grad(),
        fast_path_off(),
        uncompiled(),
        as_written(),
        _Counter() as counter,
    ):
        try:
            call_with(model, example)
        except FoveateError:
            raise
        except Exception as error:  # whatever the model makes of what it does not take
            raise ShapeError(
                f"{type(model).__name__} does not run on the example: {type(error).__name__}: {error}. Give "
                "example= what the model takes."
            ) from error
    return counter.macs


class _Counter(TorchDispatchMode):
    """Add up the multiply-adds of every operator that runs inside."""

    def __init__(self) -> None:
        super().__init__()
        self.macs = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[object, ...] = (), kwargs: dict[str, object] | None = None
    ) -> object:
        options = kwargs or {}
        if not has_formula(func._overloadpacket):
            with self:  # a composite operator that arrives whole: its parts are counted instead
                parts = func.decompose(*args, **options)
            if parts is not NotImplemented:
                return parts
        out = func(*args, **options)
        self.macs += macs_of(func._overloadpacket, args, options, out)
        return out
