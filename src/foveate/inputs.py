"""Checks of what users pass in: that a model is a module, and that tensors can be computed with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from foveate.errors import ShapeError
from foveate.typed import quoted

Example = Tensor | Sequence[object] | Mapping[str, object]  # what a model takes, as ``call_with`` gives it


def expect_model(model: object) -> None:
    """Check that a model is a module.

    Raises:
        ShapeError: It is not.
    """
    if not isinstance(model, nn.Module):
        hint = ' Build it first: fv.create_model("resnet18").' if isinstance(model, str) else ""
        what = f"the class {model.__name__}" if isinstance(model, type) else quoted(model)
        raise ShapeError(f"model: got {what}, expected a torch.nn.Module.{hint}")


def expect_inputs(example: object, model: nn.Module) -> None:
    """Check that an example holds tensors that a model can run on.

    Args:
        example: A tensor, or nested tuples, lists and mappings of tensors and other values.
        model: The model that will run on it.

    Raises:
        ShapeError: It holds no tensor, or it holds a NumPy array or a tensor that is sparse, empty or without
            values.
    """
    abstract = any(p.is_meta for p in model.parameters())
    leaves = list(_leaves(example))
    if not any(isinstance(leaf, Tensor) for leaf in leaves):
        hint = "; torch.from_numpy(x) converts it" if _is_array(example) else ""
        raise ShapeError(
            f"example: got {quoted(example)}, expected what the model takes, such as "
            f"torch.rand(1, 3, 224, 224){hint}"
        )
    for leaf in leaves:
        why = fault(leaf, abstract) if isinstance(leaf, Tensor) else ""
        if why or _is_array(leaf):
            raise ShapeError(
                f"example: got {quoted(leaf)}{why}, expected a tensor such as torch.rand(1, 3, 224, 224)"
            )


def fault(x: Tensor, abstract: bool = False, open_axes: int = 0) -> str:
    """Return why a tensor cannot be computed with, as the end of a sentence; empty if it can.

    Args:
        x: Any tensor.
        abstract: Whether tensors on the meta device, which have no values, are fine.
        open_axes: How many of the first axes may be of size 0, such as that of the images.
    """
    if x.layout != torch.strided:
        return f", which is sparse ({x.layout})"
    if x.is_meta and not abstract:
        return ", which lies on the meta device and has no values"
    return ", which is empty" if 0 in x.shape[open_axes:] else ""


def _leaves(value: object) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for part in value.values():
            yield from _leaves(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _leaves(part)
    else:
        yield value


def _is_array(value: object) -> bool:
    return type(value).__module__ == "numpy"
