"""Put mechanisms into a model, take them out, and switch them off."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import get_args

from torch import nn

from foveate.errors import OptionError, SiteError
from foveate.inputs import expect_model
from foveate.insert.attended import release
from foveate.insert.contents import (
    CONFIG,
    gate_parameters,
    insert_config,
    inserted,
    inserted_parameters,
    is_inserted,
    openings,
)
from foveate.insert.equal import equal
from foveate.insert.holder import CHILD
from foveate.insert.place import Start, place
from foveate.insert.plan import plan
from foveate.insert.probe import at_rest, call_with
from foveate.insert.sites import Survey, example_shape
from foveate.insert.spec import Spec, parse

__all__ = [
    "Start",
    "bypass",
    "gate_parameters",
    "insert",
    "insert_config",
    "inserted",
    "inserted_parameters",
    "is_inserted",
    "openings",
    "remove",
]


def insert(model: nn.Module, spec: str | Spec, *, example: object, start: Start = "identity") -> nn.Module:
    """Return a copy of ``model`` with attention in it.

    Every old parameter keeps its name and value, and with ``start="identity"`` the first output is equal to
    the plain model's to the bit: each mechanism is blended in by a gate that starts at 0. The model itself
    is not touched.

    Args:
        model: Any module.
        spec: What and where, such as ``"se(reduction=8)@blocks+cbam@stage4"``.
        example: What the model takes, such as ``torch.rand(1, 3, 224, 224)``; sizes and channels are read
            off it.
        start: ``"identity"``, or ``"paper"`` for the papers' own start, without gates.

    Raises:
        SpecError: The spec cannot be read.
        SiteError: A pattern matches nothing, or a mechanism cannot sit there.
        UnknownNameError: No mechanism has this name.
        OptionError: A mechanism does not have this option.
        ShapeError: The model is not a module, or the example holds no tensor to compute with.

    Example:
        >>> import torch
        >>> plain = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
        >>> attended = insert(plain, "se@1", example=torch.rand(1, 3, 8, 8))
        >>> list(openings(attended))
        ['1.foveate.se']
    """
    expect_model(model)
    spec = parse(spec)
    if start not in get_args(Start):
        raise OptionError(f'start: got {start!r}, expected "identity" or "paper"')
    earlier = insert_config(model) if is_inserted(model) else None
    if earlier is not None and earlier["start"] != start:
        raise SiteError(
            f'the model has attention with start="{earlier["start"]}" in it; insert with the same start'
        )
    made = copy.deepcopy(model)
    survey = Survey(made, example)
    for step in plan(survey, spec):
        place(made, step, survey, start)
    _verify(made, example, spec, start)
    written = f"{earlier['spec']}+{spec}" if earlier else str(spec)
    made.__dict__[CONFIG] = {"spec": written, "start": start, "example": example_shape(example)}
    return made


def remove(model: nn.Module) -> nn.Module:
    """Return a copy of ``model`` without the attention: the plain model, with the weights that it has now."""
    expect_model(model)
    plain = copy.deepcopy(model)
    for holder_path in list(inserted(plain)):
        host = plain.get_submodule(holder_path)
        for parameter in host._modules[CHILD].__dict__.get("idle", []):
            parameter.requires_grad_(True)
        release(host)
    plain.__dict__.pop(CONFIG, None)
    return plain


@contextmanager
def bypass(model: nn.Module) -> Iterator[nn.Module]:
    """Switch the inserted attention off in a ``with`` block: the model computes what the plain one would."""
    expect_model(model)
    holders = list(inserted(model).values())
    before = [holder.bypassed for holder in holders]
    try:
        for holder in holders:
            holder.bypassed = True
        yield model
    finally:
        for holder, value in zip(holders, before, strict=True):
            holder.bypassed = value


def _verify(model: nn.Module, example: object, spec: Spec, start: Start) -> None:
    """Run the model once and, for an identity start, compare it with the plain one.

    Raises:
        SiteError: It does not run, or its output is not equal to the bit.
    """
    with at_rest(model):
        try:
            ours = call_with(model, example)
        except Exception as error:
            raise SiteError(f"with {spec} the model does not run: {type(error).__name__}: {error}") from error
    if start == "paper":
        return
    with at_rest(model), bypass(model):
        plain = call_with(model, example)
    if not equal(ours, plain):
        raise SiteError(
            f"with {spec} the model's first output is not the plain model's. Either the model gives another "
            "output each time it runs, or it uses the module in a way that the insertion does not see. "
            "Choose another site."
        )
