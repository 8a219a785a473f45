"""Parameters, multiply-adds and bytes of any model, counted by running it once on one image.

Every operator that PyTorch dispatches is seen, fused attention on the CPU included, so that the count does
not depend on which kernel runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from foveate.cost.formulas import has_formula, macs_of
from foveate.cost.untouched import Example, forward, untouched
from foveate.errors import FoveateError, ShapeError
from foveate.inputs import expect_inputs, expect_model
from foveate.mechanisms.facets import Cost
from foveate.mechanisms.switch import as_written, uncompiled


def cost(model: nn.Module, example: Example) -> Cost:
    """Count what a model costs for one image in eval mode.

    The model, its modes and the random state are left as they were.

    Args:
        model: Any module.
        example: An input as the model takes it: a batch (B, C, H, W), of which the first image is used; a
            list of
            images (C, H, W), of which the first is used; a tuple of several such inputs, or a mapping of
            keywords.

    Returns:
        Parameters (shared ones once, frozen ones too), multiply-adds of one image (each counted once), and
        the bytes of parameters and buffers.

    Raises:
        ShapeError: The model is not a module or does not run on the example, or the example holds no tensor
            to compute with.

    Example:
        >>> cost(nn.Conv2d(3, 8, 3, padding=1, bias=False), torch.zeros(1, 3, 10, 10))
        Cost(parameters=216, macs=21600, bytes=864)
    """
    expect_model(model)
    expect_inputs(example, model)
    held = list(chain(model.parameters(), model.buffers()))
    return Cost(
        parameters=sum(p.numel() for p in model.parameters()),
        macs=_macs(model, first_image(example)),
        bytes=sum(t.numel() * t.element_size() for t in held),
    )


def first_image(example: Any) -> Any:
    """Return the example cut down to its first image."""
    if isinstance(example, Tensor):
        return example[:1] if example.ndim else example
    if isinstance(example, Mapping):
        return {name: first_image(value) for name, value in example.items()}
    if isinstance(example, tuple):
        return tuple(first_image(value) for value in example)
    if isinstance(example, Sequence) and not isinstance(example, str):
        return list(example[:1])
    return example


def _macs(model: nn.Module, example: Example) -> int:
    # no_grad, not inference_mode: there composite operators arrive undecomposed and would be missed.
    with untouched(model), torch.no_grad(), unfused_modules(), as_written(), _Counter() as counter:
        try:
            forward(model, example)
        except FoveateError:
            raise
        except Exception as error:  # whatever the model makes of what it does not take
            raise ShapeError(
                f"{type(model).__name__} does not run on the example: {type(error).__name__}: {error}. Give "
                "example= what the model takes."
            ) from error
    return counter.macs


@contextmanager
def unfused_modules() -> Iterator[None]:
    """Let modules run operator by operator: no compiled graph, no fast path of whole transformer layers."""
    fast = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        with uncompiled():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


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
