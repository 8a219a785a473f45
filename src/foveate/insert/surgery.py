"""Put mechanisms into a model, take them out, switch them off, and see how far their gates have opened."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, cast, get_args

import torch
from torch import nn

from foveate.errors import OptionError, SiteError
from foveate.insert.attended import Attended, attend, release
from foveate.insert.holder import CHILD, Inserted, Slot, Wire
from foveate.insert.plan import Step, make, plan
from foveate.insert.probe import at_rest, call_with
from foveate.insert.equal import equal
from foveate.insert.sites import Survey, example_shape
from foveate.insert.spec import Spec, parse

Start = Literal["identity", "paper"]
_CONFIG = "_foveate"  # the plain attribute of an inserted model that says how it was made


def insert(model: nn.Module, spec: str | Spec, *, example: object, start: Start = "identity") -> nn.Module:
    """Return a copy of ``model`` with attention in it.

    Every old parameter keeps its name and value, and with ``start="identity"`` the first output is equal to the
    plain model's to the bit: each mechanism is blended in by a gate that starts at 0. The model itself is not touched.

    Args:
        model: Any module.
        spec: What and where, such as ``"se(reduction=8)@blocks+cbam@stage4"``.
        example: What the model takes, such as ``torch.rand(1, 3, 224, 224)``; sizes and channels are read off it.
        start: ``"identity"``, or ``"paper"`` for the papers' own start, without gates.

    Raises:
        SpecError: The spec cannot be read.
        SiteError: A pattern matches nothing, or a mechanism cannot sit there.
        UnknownNameError: No mechanism has this name.
        OptionError: A mechanism does not have this option.

    Example:
        >>> plain = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
        >>> attended = insert(plain, "se@1", example=torch.rand(1, 3, 8, 8))
        >>> list(openings(attended))
        ['1.foveate.se']
    """
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
        _place(made, step, survey, start)
    _verify(made, example, spec, start)
    written = f"{earlier['spec']}+{spec}" if earlier else str(spec)
    made.__dict__[_CONFIG] = {"spec": written, "start": start, "example": example_shape(example)}
    return made


def remove(model: nn.Module) -> nn.Module:
    """Return a copy of ``model`` without the attention: the plain model, with the weights that it has now."""
    plain = copy.deepcopy(model)
    for holder_path in list(inserted(plain)):
        host = plain.get_submodule(holder_path)
        for parameter in host._modules[CHILD].__dict__.get("idle", []):
            parameter.requires_grad_(True)
        release(host)
    plain.__dict__.pop(_CONFIG, None)
    return plain


@contextmanager
def bypass(model: nn.Module) -> Iterator[nn.Module]:
    """Switch the inserted attention off within the ``with`` block: the model computes what the plain one would."""
    holders = list(inserted(model).values())
    before = [holder.bypassed for holder in holders]
    try:
        for holder in holders:
            holder.bypassed = True
        yield model
    finally:
        for holder, value in zip(holders, before, strict=True):
            holder.bypassed = value


def inserted(model: nn.Module) -> dict[str, Inserted]:
    """Return what was inserted: the path of each host, and the holder in it."""
    hosts = ((path, module) for path, module in model.named_modules() if isinstance(module, Attended))
    return {path: cast(Inserted, cast(nn.Module, host)._modules[CHILD]) for path, host in hosts}


def is_inserted(model: nn.Module) -> bool:
    """Return whether anything was inserted into this model."""
    return bool(inserted(model))


def insert_config(model: nn.Module) -> dict[str, object]:
    """Return how the model was made, as JSON can hold it: ``spec``, ``start`` and the ``example``'s shape.

    Raises:
        SiteError: Nothing was inserted into this model.
    """
    config = getattr(model, _CONFIG, None)
    if not isinstance(config, dict):
        raise SiteError(
            f"nothing was inserted into this {type(model).__name__}; fv.insert makes one that has attention"
        )
    return dict(config)


def openings(model: nn.Module) -> dict[str, float]:
    """Return how far each gate has opened: the path of each mechanism, and the value of its gate.

    The value is that of the outer gate (0: as the plain model, 1: as the paper's mechanism), or the mean absolute
    value of the mechanism's own zero-start parameter; 1 for a mechanism without any gate.
    """
    found: dict[str, float] = {}
    for path, holder, slot in _mechanisms(model):
        gate = _gate(holder, slot)
        value = (
            1.0
            if gate is None
            else float(gate.detach().float().item() if slot.gate else gate.detach().float().abs().mean())
        )
        found[f"{path}.{CHILD}.{slot.name}".lstrip(".")] = value
    return found


def gate_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Return the outer gates and the mechanisms' own zero-start parameters: what opens the inserted attention."""
    gates = [_gate(holder, slot) for _, holder, slot in _mechanisms(model)]
    return [gate for gate in gates if gate is not None]


def inserted_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Return all parameters that the plain model does not have."""
    return [parameter for holder in inserted(model).values() for parameter in holder.parameters()]


def _mechanisms(model: nn.Module) -> Iterator[tuple[str, Inserted, Slot]]:
    for path, holder in inserted(model).items():
        for slot in holder.slots:
            if slot.name:
                yield path, holder, slot


def _gate(holder: Inserted, slot: Slot) -> nn.Parameter | None:
    if slot.gate:
        return cast(nn.Parameter, getattr(holder, slot.gate))
    return holder.get_submodule(slot.name).get_parameter(slot.own_gate) if slot.own_gate else None


def _place(model: nn.Module, step: Step, survey: Survey, start: Start) -> None:
    """Build the mechanism of one step and put it into its host."""
    site = step.site
    host = model.get_submodule(site.path)
    if "forward" in host.__dict__:
        raise SiteError(
            f"{site.path}: its forward was replaced on the module itself, so that nothing can be put there"
        )
    like = _tensor_of(model, host)
    holder = attend(host)
    name = _free_name(holder, step.term.mechanism)
    with _own_seed(f"{site.path}/{name}"):
        mechanism = make(step, survey).to(device=like.device, dtype=like.dtype).train(host.training)
    in_line = step.role in ("before", "after")
    own = getattr(mechanism, "gate", None) if in_line else None
    slot = Slot(name, step.role, site.map, own_gate=own or "", argument=site.argument)  # type: ignore[arg-type]
    gate = None
    if start == "identity" and not own and not (in_line and getattr(mechanism, "does_nothing", False)):
        slot.gate = f"{name}_gate"
        gate = nn.Parameter(torch.zeros(1, device=like.device, dtype=like.dtype))
    if step.role in ("pool", "label") and site.source is not None and site.source != (site.path, "before"):
        slot.wire = Wire()
        slot.side = "before" if site.where == "before" else "after"
        source = Slot(
            "", "source", site.map, wire=slot.wire, side=cast(Literal["before", "after"], site.source[1])
        )
        attend(model.get_submodule(site.source[0])).add(source, None, None)
    holder.add(slot, mechanism, gate)
    if holder.swaps:
        _idle(host, holder)


def _idle(host: nn.Module, holder: Inserted) -> None:
    """Let the host's own parameters rest: nothing runs them, and DDP would wait for their gradients."""
    plain = [p for name, p in host.named_parameters() if CHILD not in name.split(".") and p.requires_grad]
    for parameter in plain:
        parameter.requires_grad_(False)
    holder.__dict__.setdefault("idle", []).extend(plain)


def _free_name(holder: Inserted, mechanism: str) -> str:
    taken = {slot.name for slot in holder.slots}
    names = [mechanism, *(f"{mechanism}_{n}" for n in range(2, len(taken) + 2))]
    return next(name for name in names if name not in taken)


def _tensor_of(model: nn.Module, host: nn.Module) -> torch.Tensor:
    """Return a parameter of the host, or of the model, whose device and type the mechanism takes."""
    for module in (host, model):
        for parameter in module.parameters():
            if parameter.is_floating_point():
                return parameter
    return torch.zeros(())


@contextmanager
def _own_seed(name: str) -> Iterator[None]:
    """Draw from numbers that depend on torch's seed and on ``name`` alone, and leave torch's own as they were.

    So that all variants of one seed share what they share: the data order, the head, and a mechanism's weights.
    """
    state = torch.random.get_rng_state()
    digest = hashlib.sha256(f"{torch.initial_seed()}/{name}".encode()).digest()
    try:
        torch.default_generator.manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        yield
    finally:
        torch.random.set_rng_state(state)


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
            f"with {spec} the model's first output is not the plain model's. Either the model gives another output "
            "each time it runs, or it uses the module in a way that the insertion does not see. Choose another site."
        )
