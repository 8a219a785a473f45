"""Put one mechanism into its host: build it, gate it, and wire it to its map."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, count
from typing import Literal, cast

import torch
from torch import nn

from foveate.errors import SiteError
from foveate.insert.fused_encoder_layers import see_every_layer
from foveate.insert.holder import CHILD, holders
from foveate.insert.host import attend
from foveate.insert.idle_parameters import freeze
from foveate.insert.layout import Layout
from foveate.insert.own_modules import child_name
from foveate.insert.plan import Step, make
from foveate.insert.sequence import read_old_names, within
from foveate.insert.sites import Survey
from foveate.insert.slot import Slot, Wire

Start = Literal["identity", "paper"]


def place(model: nn.Module, step: Step, survey: Survey, start: Start) -> None:
    """Build the mechanism of one step and put it into its host."""
    site = step.site
    path = site.path
    if step.role in ("before", "after"):
        path = within(model, survey.notes, path, step.role, argument=site.argument)
    host = model.get_submodule(path)
    _check_forward(host, path)
    like = _tensor_of(model, host)
    holder = attend(host)
    called = child_name(step.term.mechanism)
    name = _free_name(called, lambda n: hasattr(holder, n) or hasattr(holder, f"{n}_gate"))
    old_name = _free_name(called, _names_at(model, site.path).__contains__)
    with _own_seed(f"{site.path}/{old_name}"):
        mechanism = make(step, survey).to(device=like.device, dtype=like.dtype).train(host.training)
    in_line = step.role in ("before", "after")
    own = getattr(mechanism, "gate", None)
    slot = Slot(
        name,
        step.role,
        site.map,
        own_gate=own or "",
        argument=site.argument,
        site=site.path,
        old_name=old_name,
        levels=len(_parts(path)) - len(_parts(site.path)),
    )
    gate, starts_plain = None, in_line and (own or getattr(mechanism, "does_nothing", False))
    if start == "identity" and not starts_plain:
        slot.gate = f"{name}_gate"
        gate = nn.Parameter(torch.zeros(1, device=like.device, dtype=like.dtype))
    if site.source is not None and site.source != (site.path, "before"):
        slot.wire = _wire(model, survey, site.source, site.map, slot.title)
        slot.side = "before" if site.where == "before" else "after"
    if site.deeper is not None and getattr(mechanism, "interface", "") == "gate":
        slot.asked, slot.asked_argument = site.deeper.layout, site.deeper.argument
        if site.deeper.source is not None:
            slot.asked_wire = _wire(model, survey, site.deeper.source, site.deeper.layout, slot.title)
    holder.add(slot, mechanism, gate)
    if slot.levels:
        read_old_names(model.get_submodule(site.path))
    see_every_layer(model, path)
    if holder.swaps:
        plain = [p for name, p in host.named_parameters() if CHILD not in name.split(".") and p.requires_grad]
        freeze(holder, plain)


def _parts(path: str) -> list[str]:
    return path.split(".") if path else []


def _check_forward(host: nn.Module, path: str) -> None:
    if "forward" in host.__dict__:
        raise SiteError(
            f"{path}: its forward was replaced on the module itself, so that nothing can be put there"
        )


def _wire(model: nn.Module, survey: Survey, source: tuple[str, str], layout: Layout, serves: str) -> Wire:
    """Return what brings a map from the module that makes or takes it."""
    named, where = cast(tuple[str, Literal["before", "after"]], source)
    path = within(model, survey.notes, named, where)
    host = model.get_submodule(path)
    _check_forward(host, path)
    wire = Wire()
    sends = Slot("", "source", layout, wire=wire, side=where, site=named, serves=serves)
    attend(host).add(sends, None, None)
    see_every_layer(model, path)
    return wire


def _free_name(wanted: str, is_taken: Callable[[str], bool]) -> str:
    names = chain([wanted], (f"{wanted}_{n}" for n in count(2)))
    return next(name for name in names if not is_taken(name))


def _names_at(model: nn.Module, site: str) -> set[str]:
    """Return the names that mechanisms have, or would have, in a holder of the site itself."""
    slots = [slot for holder in holders(model).values() for slot in holder.slots if slot.site == site]
    return {slot.old_name or slot.name for slot in slots}


def _tensor_of(model: nn.Module, host: nn.Module) -> torch.Tensor:
    """Return a parameter of the host, or of the model, whose device and type the mechanism takes."""
    for module in (host, model):
        for parameter in module.parameters():
            if parameter.is_floating_point():
                return parameter
    return torch.zeros(())


@contextmanager
def _own_seed(name: str) -> Iterator[None]:
    """Draw numbers that depend on torch's seed and on ``name`` alone, and leave torch's own as they were.

    So that all variants of one seed share what they share: the data order, the head, and a mechanism's
    weights.
    """
    state = torch.random.get_rng_state()
    digest = hashlib.sha256(f"{torch.initial_seed()}/{name}".encode()).digest()
    try:
        torch.default_generator.manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        yield
    finally:
        torch.random.set_rng_state(state)
