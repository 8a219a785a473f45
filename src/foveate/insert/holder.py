"""What sits in a host: the mechanisms, their outer gates, and how both meet the host's own output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.fx import Proxy

from foveate.insert.slot import Slot, Wire
from foveate.insert.slow_gates import watch
from foveate.mechanisms.kernels.eager_cpu import traced
from foveate.mechanisms.switch import Switch

# Models that an earlier version pickled look for Slot and Wire here.
__all__ = [
    "BYPASS",
    "CHILD",
    "Inserted",
    "Slot",
    "Wire",
    "first_tensor",
    "holders",
    "tensors_of",
    "with_first",
]

CHILD = "foveate"  # the name of the holder in its host

BYPASS = Switch("bypass")  # on for the holders whose hosts run plain in this context


class Inserted(nn.Module):
    """Holds what was inserted into one host, as its child ``foveate``.

    Attributes:
        slots: What each mechanism does here, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.slots: list[Slot] = []
        self.swaps = False

    def add(self, slot: Slot, mechanism: nn.Module | None, gate: nn.Parameter | None) -> None:
        """Put one more mechanism here, behind those that are here already."""
        if mechanism is not None:
            self.add_module(slot.name, mechanism)
        if gate is not None:
            self.register_parameter(slot.gate, gate)
        self.slots.append(slot)
        self.slots.sort(key=lambda s: s.order)
        self.swaps = any(s.role == "replace" and not s.gate for s in self.slots)
        self._watch_gates()

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self._watch_gates()  # a copy's gates are parameters of their own

    def _watch_gates(self) -> None:
        gates = [self._gate(slot) for slot in self.slots if slot.name]
        for gate in gates:
            if isinstance(gate, nn.Parameter):
                watch(gate)

    @property
    def bypassed(self) -> bool:
        """Whether the host runs as if nothing had been inserted, for the calling code."""
        return bool(BYPASS.blocks(self))

    def _replicate_for_data_parallel(self) -> Any:
        replica = super()._replicate_for_data_parallel()
        BYPASS.carry(self, replica)
        return replica

    def enter(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Apply what stands in front of the host to its arguments."""
        for slot in self.slots:
            if slot.role == "before":
                asked = self._asked(slot, args, kwargs)
                args, kwargs = _with_argument(
                    args, kwargs, slot.argument, lambda x, s=slot, a=asked: self._refine(s, x, a)
                )
            elif slot.wire is not None and slot.side == "before" and slot.role == "source":
                slot.wire.send(self._do("lay_out", slot, _argument(args, kwargs)))
            elif slot.wire is not None and slot.side == "before" and slot.role == "pool":
                args, kwargs = _with_argument(
                    args, kwargs, "", lambda x, s=slot: self._do("pool", s, x, s.wire.take())
                )
        return args, kwargs

    def leave(self, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        """Apply what stands behind the host, or in its place, to its output."""
        for slot in self.slots:
            if slot.role == "after":
                asked = self._asked(slot, args, kwargs)
                output = with_first(output, lambda x, s=slot, a=asked: self._refine(s, x, a))
            elif slot.role == "replace":
                arrived = _argument(args, kwargs)
                output = with_first(output, lambda x, s=slot, a=arrived: self._do("replace", s, x, a))
            elif slot.role in ("pool", "label") and slot.wire is None:
                arrived = self._do("lay_out", slot, _argument(args, kwargs))
                output = with_first(output, lambda x, s=slot, a=arrived: self._do("pool", s, x, a))
            elif slot.role == "label":
                output = with_first(output, lambda x, s=slot: self._do("pool", s, x, s.wire.take()))
            elif slot.role == "source" and slot.wire is not None and slot.side == "after":
                found = first_tensor(output)
                slot.wire.send(None if found is None else self._do("lay_out", slot, found))
        return output

    def swapped(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        """Return the host's input, which stands for the output of a host that does not run."""
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
        return self._do("lay_out_asked", slot, found)

    def _refine(self, slot: Slot, x: Any, asked: Any) -> Any:
        """Weigh the map in ``x``, or the one that is brought to be part of ``x``."""
        more = () if asked is None else (asked,)
        if slot.wire is None:
            return self._do("refine", slot, x, *more)
        return self._do("refine_part", slot, x, slot.wire.take(), *more)

    def _do(self, what: str, slot: Slot, *tensors: Any) -> Any:
        """Do one thing for a slot; while torch.fx traces, note it as one call of this module."""
        if isinstance(tensors[0], Proxy):
            return self(what, self.slots.index(slot), *tensors)
        return _DOINGS[what](self, slot, *tensors)

    def _lay_out(self, slot: Slot, x: Tensor) -> Tensor:
        return slot.layout.as_map(x)

    def _lay_out_asked(self, slot: Slot, x: Tensor) -> Tensor:
        return x if slot.asked is None else slot.asked.as_map(x)

    def _refined(self, slot: Slot, x: Tensor, asked: Tensor | None = None) -> Tensor:
        mechanism = getattr(self, slot.name)
        if slot.asked is not None and asked is None:
            asked = slot.asked.as_map(x)
        more = () if asked is None else (asked,)
        return slot.layout.apply(x, lambda m: self._blend(slot, m, mechanism(m, *more)))

    def _refined_part(self, slot: Slot, x: Tensor, brought: Tensor, *more: Tensor) -> Tensor:
        return x + (self._blend(slot, brought, getattr(self, slot.name)(brought, *more)) - brought)

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
        # Look at the gate on the CPU alone: on a GPU the look would wait for all that runs there.
        if not traced(plain) and not closed:
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

    def forward(self, what: object, index: int = -1, *tensors: Any) -> Any:
        """Do one thing for one slot, as a graph of torch.fx calls it.

        All else is refused: a host that runs all of its children would run its attention as one of them.
        """
        if not isinstance(what, str) or what not in _DOINGS:
            titles = ", ".join(slot.title for slot in self.slots if slot.name)
            raise RuntimeError(
                f"foveate: a module ran its inserted child as one of its own layers ({titles}). "
                "Put the attention at the last of these layers instead"
            )
        if isinstance(tensors[0], Proxy):
            tracer: Any = tensors[0].tracer
            return tracer.create_proxy(
                "call_module", tracer.path_of_module(self), (what, index, *tensors), {}
            )
        if self.bypassed and what not in ("lay_out", "lay_out_asked"):
            if self.swaps:
                raise RuntimeError(
                    f"foveate: the graph holds no {self.slots[index].site} to run in its place"
                )
            return tensors[0]
        return _DOINGS[what](self, self.slots[index], *tensors)

    def extra_repr(self) -> str:
        """Return what happens here for ``print(model)``."""
        return ", ".join(
            f"{s.name} {s.role}" + (f", {s.gate}" if s.gate else "") for s in self.slots if s.name
        )


def holders(model: nn.Module) -> dict[str, Inserted]:
    """Return every holder in a model by the path of its host."""
    found = {path: module for path, module in model.named_modules() if isinstance(module, Inserted)}
    return {path.removesuffix(CHILD).removesuffix("."): holder for path, holder in found.items()}


_DOINGS: dict[str, Callable[..., Any]] = {
    "lay_out": Inserted._lay_out,
    "lay_out_asked": Inserted._lay_out_asked,
    "refine": Inserted._refined,
    "refine_part": Inserted._refined_part,
    "replace": Inserted._replaced,
    "pool": Inserted._pooled,
}
_TENSORS = (Tensor, Proxy)  # torch.fx traces with proxies in the place of tensors


def tensors_of(value: object) -> Iterator[Any]:
    """Yield every tensor in nested tuples, lists, mappings and dataclasses, in order."""
    if isinstance(value, _TENSORS):
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


def first_tensor(value: object) -> Any:
    """Return the first tensor in nested outputs, None if there is none."""
    if isinstance(value, _TENSORS):
        return value
    return next(tensors_of(value), None)


def with_first(value: Any, function: Any) -> Any:
    """Return ``value`` with ``function`` applied to its first tensor; every container keeps its type."""
    if isinstance(value, _TENSORS):
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


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
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
