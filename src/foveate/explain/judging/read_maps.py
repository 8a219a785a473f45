"""From what a user calls maps to maps: tensors, names of methods, functions, lists and mappings of these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from foveate.errors import ShapeError
from foveate.explain.judging.metric import Explainer, Maps
from foveate.explain.judging.subject import Subject, seeded
from foveate.typed import quoted

ONLY = "map"  # what a single tensor is called
_EXPECTED = (
    "maps (B, H, W), the name of a method, a function (model, images, target) -> maps, a list of names, or a "
    "mapping from names to these"
)


def read_maps(maps: object, subject: Subject) -> list[Maps]:
    """Return the maps of each method.

    Raises:
        ShapeError: Something else came, or maps do not fit the images.
        UnknownNameError: There is no such method.
    """
    if isinstance(maps, Mapping):
        named: dict[str, object] = {str(name): one for name, one in maps.items()}
    elif isinstance(maps, list | tuple) and maps and all(isinstance(one, str) for one in maps):
        named = {one: one for one in maps}
    elif isinstance(maps, str):
        named = {maps: maps}
    else:
        name = getattr(maps, "__name__", ONLY) if callable(maps) and not isinstance(maps, Tensor) else ONLY
        named = {name: maps}
    if not named:
        raise ShapeError(f"maps: got none, expected {_EXPECTED}")
    found = [_read(name, one, subject) for name, one in named.items()]
    values = {one.name: one.values for one in found}
    return [
        replace(one, others={name: other for name, other in values.items() if name != one.name})
        for one in found
    ]


def _read(name: str, maps: object, subject: Subject) -> Maps:
    if isinstance(maps, str):
        explain = _method(maps)
    elif callable(maps) and not isinstance(maps, Tensor):
        explain = maps
    else:
        return _checked(name, maps, subject)
    with seeded(subject.seed):
        made = explain(subject.model, subject.images, subject.target)
    return replace(_checked(name, made, subject), explain=_on_grid(name, explain, subject))


def _method(name: str) -> Explainer:
    """Return a method of ``fv.explain``, options allowed."""
    # By name, when a method is asked for: judging maps that are there needs nothing of how maps are made.
    explain = import_module("foveate.explain.explain").explain

    def method(model: nn.Module, images: Tensor, target: Any) -> Tensor:
        return explain(model, images, method=name, target=target)

    return method


def _on_grid(name: str, explain: Callable[..., Any], subject: Subject) -> Explainer:
    """Return a method whose maps are checked each time."""

    def checked(model: nn.Module, images: Tensor, target: Any) -> Tensor:
        return _checked(name, explain(model, images, target), subject).values

    return checked


def _checked(name: str, maps: object, subject: Subject) -> Maps:
    if isinstance(maps, np.ndarray):
        maps = torch.from_numpy(maps)
    shape = (subject.count, *subject.size)
    by_channel = (subject.count, subject.images.shape[1], *subject.size)
    if not isinstance(maps, Tensor) or maps.is_complex():
        raise ShapeError(f"maps: got {quoted(maps)} for {name}, expected {_EXPECTED}")
    maps = maps.detach()
    maps = maps if maps.is_floating_point() else maps.float()
    if tuple(maps.shape) == by_channel:
        return Maps(name, maps.sum(dim=1), by_channel=maps)
    if tuple(maps.shape) != shape:
        raise ShapeError(
            f"maps: got {tuple(maps.shape)} for {name}, expected {shape}, on the grid of the images: one map "
            "a picture"
        )
    return Maps(name, maps)
