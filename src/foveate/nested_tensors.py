"""Tensors in nested outputs and examples: tuples, lists, mappings and dataclasses of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.fx import Proxy

_TENSORS = (Tensor, Proxy)  # torch.fx traces with proxies in place of tensors


def tensors_in(value: object) -> Iterator[Any]:
    """Yield every tensor in nested tuples, lists, mappings and dataclasses, in order."""
    if isinstance(value, _TENSORS):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors_in(item)
    elif is_dataclass(value) and not isinstance(value, type):
        for part in fields(value):
            yield from tensors_in(getattr(value, part.name))


def first_tensor(value: object) -> Any:
    """Return the first tensor in nested outputs, None if there is none."""
    if isinstance(value, _TENSORS):
        return value
    return next(tensors_in(value), None)


def map_first_tensor(value: Any, function: Any) -> Any:
    """Return ``value`` with ``function`` applied to its first tensor; every container keeps its type."""
    if isinstance(value, _TENSORS):
        return function(value)
    if isinstance(value, Mapping):
        key = next(k for k, item in value.items() if first_tensor(item) is not None)
        changed = {k: map_first_tensor(item, function) if k == key else item for k, item in value.items()}
        kind: Any = type(value)
        return kind(**changed) if is_dataclass(value) else kind(changed)
    if is_dataclass(value) and not isinstance(value, type):
        name = next(f.name for f in fields(value) if first_tensor(getattr(value, f.name)) is not None)
        return replace(value, **{name: map_first_tensor(getattr(value, name), function)})
    items = list(value)
    index = next(i for i, item in enumerate(items) if first_tensor(item) is not None)
    items[index] = map_first_tensor(items[index], function)
    return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)


def bit_equal(first: object, second: object) -> bool:
    """Return whether all tensors in two nested outputs are equal to the bit; NaN equals NaN."""
    ours, theirs = list(tensors_in(first)), list(tensors_in(second))
    return len(ours) == len(theirs) and all(_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def _equal(first: Tensor, second: Tensor) -> bool:
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    if torch.equal(first, second):
        return True
    return bool(((first == second) | (first.isnan() & second.isnan())).all())
