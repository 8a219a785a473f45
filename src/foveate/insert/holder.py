"""What sits in a host: the mechanisms, their outer gates, and how both meet the host's own output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from foveate.insert.layout import Layout
from foveate.mechanisms.gated import traced

CHILD = "foveate"  # the name of the holder in its host

Role = Literal["before", "after", "replace", "pool", "label", "source"]


class Wire:
    """Carries one map from the module that makes it to the module that needs it, within one forward pass."""

    def __init__(self) -> None:
        self.value: Tensor | None = None

    def take(self) -> Tensor:
        """Return what was sent and let go of it."""
        value, self.value = self.value, None
        if value is None:
            raise RuntimeError("foveate: a map was needed before the module that makes it had run")
        return value


@dataclass
class Slot:
    """One mechanism in a host.

    Args:
        name: The child's name in the holder, such as ``se``; empty for a source, which only sends its map on.
        role: What it does there.
        layout: How the map that it receives lies in the tensor.
        gate: The name of its outer gate in the holder, such as ``se_gate``; empty without one.
        own_gate: The dotted name of the mechanism's own zero-start parameter; empty without one.
        side: For a pool or a source: whether the map is what flows into the host or out of it.
        argument: For ``before``: the argument that holds the map; empty for the first tensor.
        wire: Brings the map from elsewhere, or takes it there. A map that is brought before or behind the
            host is part of the sum that flows there.
        asked: How the deeper map lies that a gate asks; None for all else.
        asked_argument: The argument that holds the deeper map; None if none does.
        asked_wire: Brings the deeper map from elsewhere. With neither it lies in the same tensor.
    """

    name: str
    role: Role
    layout: Layout
    gate: str = ""
    own_gate: str = ""
    side: Literal["before", "after"] = "before"
    argument: str = ""
    wire: Wire | None = None
    asked: Layout | None = None
    asked_argument: str | None = None
    asked_wire: Wire | None = None


class Inserted(nn.Module):
    """Holds what was inserted into one host, as its child ``foveate``.

    Attributes:
        bypassed: While True, the host runs as if nothing had been inserted.
        slots: What each mechanism does here, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bypassed = False
        self.slots: list[Slot] = []
        self.swaps = False

    def add(self, slot: Slot, mechanism: nn.Module | None, gate: nn.Parameter | None) -> None:
        """Put one more mechanism here, behind those that are here already."""
        if mechanism is not None:
            self.add_module(slot.name, mechanism)
        if gate is not None:
            self.register_parameter(slot.gate, gate)
        self.slots.append(slot)
        self.slots.sort(key=lambda s: s.role == "source")  # what is sent on is what flows here in the end
        self.swaps = any(s.role == "replace" and not s.gate for s in self.slots)

    def enter(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Apply what stands in front of the host to its arguments."""
        for slot in self.slots:
            if slot.role == "before":
                asked = self._asked(slot, args, kwargs)
                args, kwargs = _with_argument(
                    args, kwargs, slot.argument, lambda x, s=slot, a=asked: self._refined(s, x, a)
                )
            elif slot.wire is not None and slot.side == "before" and slot.role == "source":
                slot.wire.value = slot.layout.as_map(_argument(args, kwargs))
            elif slot.wire is not None and slot.side == "before" and slot.role == "pool":
                args, kwargs = _with_argument(
                    args, kwargs, "", lambda x, s=slot: self._pooled(s, x, s.wire.take())
                )
        return args, kwargs

    def leave(self, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        """Apply what stands behind the host, or in its place, to its output."""
        for slot in self.slots:
            if slot.role == "after":
                asked = self._asked(slot, args, kwargs)
                output = with_first(output, lambda x, s=slot, a=asked: self._refined(s, x, a))
            elif slot.role == "replace":
                arrived = _argument(args, kwargs)
                output = with_first(output, lambda x, s=slot, a=arrived: self._replaced(s, x, a))
            elif slot.role in ("pool", "label") and slot.wire is None:
                arrived = slot.layout.as_map(_argument(args, kwargs))
                output = with_first(output, lambda x, s=slot, a=arrived: self._pooled(s, x, a))
            elif slot.role == "label":
                output = with_first(output, lambda x, s=slot: self._pooled(s, x, s.wire.take()))
            elif slot.role == "source" and slot.wire is not None and slot.side == "after":
                found = first_tensor(output)
                slot.wire.value = None if found is None else slot.layout.as_map(found)
        return output

    def swapped(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        """Return what the mechanism in the host's place makes of the host's input."""
        return _argument(args, kwargs)

    def _asked(self, slot: Slot, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
        """Return the deeper map that a gate asks, None where there is none or it lies in the same tensor."""
        if slot.asked is None:
            return None
        if slot.asked_wire is not None:
            return slot.asked_wire.take()
        if slot.asked_argument is None:
            return None
        found = (
            kwargs[slot.asked_argument] if slot.asked_argument in kwargs else args[int(slot.asked_argument)]
        )
        return slot.asked.as_map(found)

    def _refined(self, slot: Slot, x: Tensor, asked: Tensor | None = None) -> Tensor:
        mechanism = getattr(self, slot.name)
        if slot.asked is not None and asked is None:
            asked = slot.asked.as_map(x)
        more = () if asked is None else (asked,)
        if slot.wire is None:
            return slot.layout.apply(x, lambda m: self._blend(slot, m, mechanism(m, *more)))
        brought = slot.wire.take()
        return x + (self._blend(slot, brought, mechanism(brought, *more)) - brought)

    def _replaced(self, slot: Slot, plain: Tensor, arrived: Tensor) -> Tensor:
        mechanism = getattr(self, slot.name)
        return self._blend(slot, plain, slot.layout.apply(arrived, mechanism))

    def _pooled(self, slot: Slot, plain: Tensor, source: Tensor) -> Tensor:
        return self._blend(slot, plain, getattr(self, slot.name)(source).reshape(plain.shape))

    def _blend(self, slot: Slot, plain: Tensor, weighed: Tensor) -> Tensor:
        """Return ``plain`` to the bit at gate 0, whatever ``weighed`` is, and ``weighed`` at gate 1.

        The gate is the outer one, or the mechanism's own. Where ``weighed`` is not finite a closed gate gets
        no gradient; an open one lets it through, for whoever watches the loss to see.
        """
        weighed, gate = weighed.to(plain.dtype), self._gate(slot)
        if gate is None:
            return weighed
        closed = ~gate.any()
        if not traced(plain) and not closed:  # open, it costs a look at the gate and no more
            return torch.lerp(plain, weighed, gate.to(plain.dtype)) if slot.gate else weighed
        broken = closed & ~(weighed - plain).isfinite()
        start, end = (part.masked_fill(broken, 0) for part in (plain, weighed))
        blended = torch.lerp(start, end, gate.to(plain.dtype)) if slot.gate else end
        return torch.where(broken, plain, blended)

    def _gate(self, slot: Slot) -> Tensor | None:
        """Return the outer gate, or the mechanism's own where it stands in line; None without one."""
        if slot.gate:
            return cast(Tensor, getattr(self, slot.gate))
        found: Any = getattr(self, slot.name)
        for name in slot.own_gate.split(".") if slot.role in ("before", "after") and slot.own_gate else ():
            found = getattr(found, name)
        return found if isinstance(found, nn.Parameter) else None

    def forward(self, *args: object, **kwargs: object) -> Tensor:
        """Refuse: a host that runs all of its children would run its attention as one of its layers."""
        raise RuntimeError("foveate: a module ran its inserted child as one of its own layers")

    def extra_repr(self) -> str:
        """Return what happens here for ``print(model)``."""
        return ", ".join(
            f"{s.name} {s.role}" + (f", {s.gate}" if s.gate else "") for s in self.slots if s.name
        )


def tensors_of(value: object) -> Iterator[Tensor]:
    """Yield every tensor in nested tuples, lists, mappings and dataclasses, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_of(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors_of(item)
    elif is_dataclass(value) and not isinstance(value, type):
        for part in fields(value):
            yield from tensors_of(getattr(value, part.name))


def first_tensor(value: object) -> Tensor | None:
    """Return the first tensor in nested outputs, if there is one."""
    if isinstance(value, Tensor):
        return value
    return next(tensors_of(value), None)


def with_first(value: Any, function: Any) -> Any:
    """Return ``value`` with ``function`` applied to its first tensor; every container keeps its type."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, Mapping):
        key = next(k for k, item in value.items() if first_tensor(item) is not None)
        changed = {k: with_first(item, function) if k == key else item for k, item in value.items()}
        kind: Any = type(value)
        return kind(**changed) if is_dataclass(value) else kind(changed)
    if is_dataclass(value) and not isinstance(value, type):
        name = next(f.name for f in fields(value) if first_tensor(getattr(value, f.name)) is not None)
        return replace(value, **{name: with_first(getattr(value, name), function)})
    items = list(value)
    index = next(i for i, item in enumerate(items) if first_tensor(item) is not None)
    items[index] = with_first(items[index], function)
    return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """Return the first tensor among the arguments."""
    found = first_tensor(args)
    if found is None:
        found = first_tensor(kwargs)
    if found is None:
        raise RuntimeError("foveate: the host was called without a tensor")
    return found


def _with_argument(
    args: tuple[Any, ...], kwargs: dict[str, Any], argument: str, function: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments with one of them, or the first tensor, replaced by ``function`` of it."""
    if argument in kwargs:
        if kwargs[argument] is None:
            return args, kwargs
        return args, {**kwargs, argument: with_first(kwargs[argument], function)}
    if argument:
        place = int(argument)
        return (*args[:place], with_first(args[place], function), *args[place + 1 :]), kwargs
    if first_tensor(args) is not None:
        return with_first(args, function), kwargs
    return args, with_first(kwargs, function)
