"""Maps over positions: where a mechanism looked, and what it changed there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from foveate.explain.positions import positions
from foveate.explain.record import record, taps, uncompiled_path
from foveate.mechanisms.base import Mechanism
from foveate.mechanisms.switch import uncompiled
from foveate.running import call_with, eval_no_grad

T = TypeVar("T")


def effect(model: nn.Module, images: Any) -> Mapping[str, Tensor]:
    """Measure how much each mechanism changes the features at each position.

    The change is |m(x) - x| / |x| at each position, with norms over channels, so it shows channel gates too,
    which have no map over positions. A position where |x| is less than a thousandth of the image's mean is
    divided by that thousandth. What lies between the mechanism and the model (a gate that is still closed) is
    not included. The model runs in eval mode, without gradients, and is left as it was.

    Args:
        model: A model with mechanisms in it.
        images: A batch as the model takes it.

    Returns:
        Path of the mechanism -> (B, H, W), 0 where it changes nothing. Only mechanisms that return a map of
        the shape that they got are included: neither pools nor class scores.
    """
    changes = {path: change for path, change in _run(model, images, _change).items() if change is not None}
    inner = {path for path in changes if _innermost_owner(path, changes.keys() - {path}) is not None}
    return {path: change for path, change in changes.items() if path not in inner}


def looks(model: nn.Module, images: Any, classes: Tensor | None = None) -> Mapping[str, Tensor]:
    """Record where each mechanism of a model looks.

    The model runs once in eval mode, without gradients, and is left as it was.

    Args:
        model: A model with mechanisms in it.
        images: A batch as the model takes it.
        classes: (B,) the class of each image that weights for each class are shown for; None averages.

    Returns:
        Name that ``record`` gives the weights -> (B, H, W), by ``positions``. Mechanisms whose weights have
        no positions are left out. Maps with rows and columns that a model records by itself, outside of
        mechanisms, keep their size.
    """
    with record(model) as maps:
        sizes = _run(model, images, lambda x, _: x.shape[2:])
    found = {}
    for path, tap in taps(model).items():
        owner, axes = _innermost_owner(path, sizes), tap.axes.split()
        if path in maps and owner is not None:
            found[path] = positions(maps[path], tap.axes, *sizes[owner], classes=classes)
        elif path in maps and {"h", "w"} <= set(axes):
            own = [maps[path].shape[axes.index(axis)] for axis in "hw"]
            found[path] = positions(maps[path], tap.axes, *own, classes=classes)
    return {path: look for path, look in found.items() if look is not None}


def _run(model: nn.Module, images: Any, measure: Callable[[Tensor, Tensor], T]) -> dict[str, T]:
    """Run ``model`` and measure what every mechanism got and returned, before the model overwrites it."""
    seen: dict[str, T] = {}
    with ExitStack() as undo:
        undo.enter_context(uncompiled())
        undo.enter_context(eval_no_grad(model))
        for path, module in model.named_modules():
            if isinstance(module, Mechanism):
                hook = _measuring(seen, uncompiled_path(path), measure)
                undo.callback(module.register_forward_hook(hook).remove)
        call_with(model, images)
    return seen


def _measuring(seen: dict[str, T], path: str, measure: Callable[[Tensor, Tensor], T]) -> Any:
    def hook(_module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor):
            seen[path] = measure(inputs[0], output)

    return hook


def _change(x: Tensor, y: Tensor) -> Tensor | None:
    if x.ndim != 4 or x.shape != y.shape:
        return None
    size = torch.linalg.vector_norm(x.float(), dim=1)
    least = (size.mean(dim=(1, 2), keepdim=True) / 1000).clamp_min(torch.finfo(size.dtype).tiny)
    return torch.linalg.vector_norm(y.float() - x.float(), dim=1) / size.maximum(least)


def _innermost_owner(path: str, owners: Iterable[str]) -> str | None:
    """Return the innermost of ``owners`` that is ``path`` or holds it."""
    holders = [owner for owner in owners if owner in ("", path) or path.startswith(owner + ".")]
    return max(holders, key=len, default=None)
