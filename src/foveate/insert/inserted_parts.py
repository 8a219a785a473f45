"""What was inserted into a model: the holders, their parameters, their gates, and how the model was made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from torch import nn

from foveate.errors import SiteError
from foveate.insert.holder import Inserted, holders
from foveate.insert.inserted_names import CHILD
from foveate.insert.slot import Slot

CONFIG = "_foveate"  # the attribute of a model with attention that holds how it was made


def inserted(model: nn.Module) -> dict[str, Inserted]:
    """Return what was inserted: the path of each host, and the holder in it."""
    return holders(model)


def is_inserted(model: nn.Module) -> bool:
    """Return whether anything was inserted into this model."""
    return bool(inserted(model))


def insert_config(model: nn.Module) -> dict[str, object]:
    """Return how the model was made, as JSON can hold it: ``spec``, ``start`` and the ``example``'s shape.

    Raises:
        SiteError: Nothing was inserted into this model.
    """
    config = getattr(model, CONFIG, None)
    if not isinstance(config, dict):
        raise SiteError(
            f"nothing was inserted into this {type(model).__name__}; fv.insert returns a model with attention"
        )
    return dict(config)


def openings(model: nn.Module) -> dict[str, float]:
    """Return how far each gate has opened: the path of each mechanism, and the value of its gate.

    The value is that of the outer gate (0: as the plain model, 1: as the paper's mechanism), or the mean
    absolute value of the mechanism's own zero-start parameter; 1 for a mechanism without any gate.
    """
    found: dict[str, float] = {}
    for path, holder, slot in _mechanisms(model):
        if getattr(getattr(holder, slot.name), "does_nothing", False):
            continue
        gate = _gate(holder, slot)
        value = (
            1.0
            if gate is None
            else float(gate.detach().float().item() if slot.gate else gate.detach().float().abs().mean())
        )
        found[f"{path}.{CHILD}.{slot.name}".lstrip(".")] = value
    return found


def gate_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Return the outer gates and the mechanisms' own zero-start parameters: what opens the attention."""
    gates: list[nn.Parameter] = []
    for _, holder, slot in _mechanisms(model):
        if slot.gate:
            gates.append(holder.get_parameter(slot.gate))
        if slot.own_gate:
            gates.append(holder.get_submodule(slot.name).get_parameter(slot.own_gate))
    return gates


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
