"""Put mechanisms into a model, remove them, and switch them off."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, count
from typing import Literal, cast, get_args

import torch
from torch import nn

from foveate.errors import OptionError, SiteError
from foveate.inputs import expect_model
from foveate.insert.build_mechanism import build_at
from foveate.insert.fused_encoder_layers import fuse_again, run_every_layer
from foveate.insert.holder import BYPASS, Inserted, holders
from foveate.insert.host import Attended, attend, release
from foveate.insert.host_in_sequence import forget_old_names, host_path, read_old_names
from foveate.insert.idle_parameters import freeze, freeze_unused, unfreeze
from foveate.insert.inserted_names import CHILD, is_inserted_name
from foveate.insert.inserted_parts import CONFIG, insert_config, inserted, is_inserted
from foveate.insert.layout import Layout
from foveate.insert.named_mechanisms import child_name
from foveate.insert.plan import Step, plan
from foveate.insert.sites import Survey, example_shape
from foveate.insert.slot import Slot, Wire
from foveate.insert.spec import Spec, parse
from foveate.insert.survey import survey
from foveate.insert.verify import copy_of, verify
from foveate.mechanisms.switch import Block

Start = Literal["identity", "paper"]


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
        SiteError: A pattern matches nothing, a mechanism cannot sit there, or the model bypasses it there.
        UnknownNameError: No mechanism has this name.
        OptionError: A mechanism does not have this option.
        ShapeError: The model is not a module, or the example holds no tensor to compute with.

    Example:
        >>> plain = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
        >>> attended = insert(plain, "se@1", example=torch.rand(1, 3, 8, 8))
        >>> list(inserted(attended))
        ['1']
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
    made = copy_of(model)
    found = survey(made, example)
    for step in plan(found, spec):
        _place(made, step, found, start)
    verify(made, example, spec, model if start == "identity" else None)
    if start == "paper":
        freeze_unused(made, example)
    written = f"{earlier['spec']}+{spec}" if earlier else str(spec)
    made.__dict__[CONFIG] = {"spec": written, "start": start, "example": example_shape(example)}
    return made


def remove(model: nn.Module) -> nn.Module:
    """Return a copy of ``model`` without the attention: the plain model, with the weights that it has now."""
    expect_model(model)
    plain = copy_of(model)
    for path in inserted(plain):
        host = plain.get_submodule(path)
        if not isinstance(host, Attended):
            raise SiteError(
                f"the attention at {path} is part of the graph of this {type(model).__name__}, which "
                "torch.fx made: remove it from the model that was traced, and trace again"
            )
        unfreeze(cast(nn.Module, host._modules[CHILD]))
        release(host)
    fuse_again(plain)
    forget_old_names(plain)
    plain.__dict__.pop(CONFIG, None)
    return plain


@contextmanager
def bypass(model: nn.Module) -> Iterator[nn.Module]:
    """Switch the inserted attention off in a ``with`` block: the model computes what the plain one would.

    It is off for the code in the block only, and stays on for other threads that run the model meanwhile. A
    compiled model runs uncompiled inside the block.
    """
    expect_model(model)
    with BYPASS.on(Block(inserted(model).values())):
        yield model


def _place(model: nn.Module, step: Step, survey: Survey, start: Start) -> None:
    """Build the mechanism of one step, put it into its host, gate it, and wire it to its map."""
    site, in_line, path = step.site, step.role in ("before", "after"), step.site.path
    if in_line:
        path = host_path(model, survey.run, path, step.role, argument=site.argument)
    host = _host_at(model, path)
    holder, like = attend(host), _tensor_of(model, host)
    slot = _new_slot(model, step, path, holder)
    with _seed_of_its_own(f"{site.path}/{slot.old_name}"):
        mechanism = build_at(step.term, site, survey.sites)
        mechanism.to(device=like.device, dtype=like.dtype).train(host.training)
    slot.own_gate = getattr(mechanism, "gate", None) or ""
    gate, starts_plain = None, slot.own_gate or getattr(mechanism, "does_nothing", False)
    if start == "identity" and not (in_line and starts_plain):
        slot.gate = f"{slot.name}_gate"
        gate = nn.Parameter(torch.zeros(1, device=like.device, dtype=like.dtype))
    _wire_up(model, step, slot, mechanism, survey)
    holder.add(slot, mechanism, gate)
    if slot.levels:
        read_old_names(model.get_submodule(site.path))
    run_every_layer(model, path)
    if holder.swaps:
        plain = [p for n, p in host.named_parameters() if not is_inserted_name(n) and p.requires_grad]
        freeze(holder, plain)


def _host_at(model: nn.Module, path: str) -> nn.Module:
    host = model.get_submodule(path)
    if "forward" in host.__dict__:
        raise SiteError(
            f"{path}: its forward was replaced on the module itself, so nothing can be inserted there. "
            "Insert first, or choose another site."
        )
    return host


def _new_slot(model: nn.Module, step: Step, path: str, holder: Inserted) -> Slot:
    """Return the slot of a step in the holder of the host at ``path``, without gates and wires."""
    called, site = child_name(step.term.mechanism), step.site
    return Slot(
        _free_name(called, lambda n: hasattr(holder, n) or hasattr(holder, f"{n}_gate")),
        step.role,
        site.map,
        argument=site.argument,
        site=site.path,
        old_name=_free_name(called, _names_at(model, site.path).__contains__),
        levels=_depth(path) - _depth(site.path),
    )


def _depth(path: str) -> int:
    return len(path.split(".")) if path else 0


def _wire_up(model: nn.Module, step: Step, slot: Slot, mechanism: nn.Module, survey: Survey) -> None:
    """Let a slot receive the maps that come from elsewhere: the one that it weighs, and the gating map."""
    site = step.site
    if site.source is not None and site.source != (site.path, "before"):
        slot.wire = _wire(model, survey, site.source, site.map, slot.title)
        slot.side = "before" if site.where == "before" else "after"
    if site.deeper is not None and getattr(mechanism, "interface", "") == "gate":
        slot.gating, slot.gating_argument = site.deeper.layout, site.deeper.argument
        if site.deeper.source is not None:
            slot.gating_wire = _wire(model, survey, site.deeper.source, site.deeper.layout, slot.title)


def _wire(model: nn.Module, survey: Survey, source: tuple[str, str], layout: Layout, serves: str) -> Wire:
    """Return a wire that brings a map from the module that makes or takes it."""
    named, where = cast(tuple[str, Literal["before", "after"]], source)
    path = host_path(model, survey.run, named, where)
    host, wire = _host_at(model, path), Wire()
    sends = Slot("", "source", layout, wire=wire, side=where, site=named, serves=serves)
    attend(host).add(sends, None, None)
    run_every_layer(model, path)
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
def _seed_of_its_own(name: str) -> Iterator[None]:
    """Draw numbers that depend on torch's seed and on ``name`` only, and restore torch's random state.

    So all variants of one seed share the data order, the head, and the weights of mechanisms of one name.
    """
    state = torch.random.get_rng_state()
    digest = hashlib.sha256(f"{torch.initial_seed()}/{name}".encode()).digest()
    try:
        torch.default_generator.manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        yield
    finally:
        torch.random.set_rng_state(state)
