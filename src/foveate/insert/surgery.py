"""Put mechanisms into a model, take them out, and switch them off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast, get_args

from torch import nn

from foveate.errors import OptionError, SiteError
from foveate.inputs import expect_model
from foveate.insert.fused_encoder_layers import fuse_again
from foveate.insert.holder import BYPASS, CHILD
from foveate.insert.host import Attended, release
from foveate.insert.idle_parameters import rest_unused, wake
from foveate.insert.inserted_parts import (
    CONFIG,
    gate_parameters,
    insert_config,
    inserted,
    inserted_parameters,
    is_inserted,
    openings,
)
from foveate.insert.place import Start, place
from foveate.insert.plan import plan
from foveate.insert.sequence import forget_old_names
from foveate.insert.sites import Survey, example_shape
from foveate.insert.spec import Spec, parse
from foveate.insert.verify import copied, verify
from foveate.mechanisms.switch import Block

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
        SiteError: A pattern matches nothing, a mechanism cannot sit there, or the model goes around it there.
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
    made = copied(model)
    survey = Survey(made, example)
    for step in plan(survey, spec):
        place(made, step, survey, start)
    verify(made, example, spec, model if start == "identity" else None)
    if start == "paper":
        rest_unused(made, example)
    written = f"{earlier['spec']}+{spec}" if earlier else str(spec)
    made.__dict__[CONFIG] = {"spec": written, "start": start, "example": example_shape(example)}
    return made


def remove(model: nn.Module) -> nn.Module:
    """Return a copy of ``model`` without the attention: the plain model, with the weights that it has now."""
    expect_model(model)
    plain = copied(model)
    for path in inserted(plain):
        host = plain.get_submodule(path)
        if not isinstance(host, Attended):
            raise SiteError(
                f"the attention at {path} is part of the graph of this {type(model).__name__}, as torch.fx "
                "makes it: remove it from the model that was traced"
            )
        wake(cast(nn.Module, host._modules[CHILD]))
        release(host)
    fuse_again(plain)
    forget_old_names(plain)
    plain.__dict__.pop(CONFIG, None)
    return plain


@contextmanager
def bypass(model: nn.Module) -> Iterator[nn.Module]:
    """Switch the inserted attention off in a ``with`` block: the model computes what the plain one would.

    It is off for the code in the block, and on for all other threads that run the model meanwhile. A compiled
    model runs uncompiled inside the block.
    """
    expect_model(model)
    with BYPASS.on(Block(inserted(model).values())):
        yield model
