"""What sits in a host: the mechanisms, their outer gates, and how both meet the host's own output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.fx import Proxy

from foveate.insert.apply_layout import apply_to_map
from foveate.insert.inserted_names import CHILD
from foveate.insert.slot import Slot
from foveate.insert.slow_gate_warning import warn_if_slow
from foveate.mechanisms.kernels.eager_cpu import traced
from foveate.mechanisms.switch import Switch
from foveate.nested_tensors import first_tensor, map_first_tensor

BYPASS = Switch("bypass")  # on for the holders whose hosts run without attention in this context


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
        """Add a mechanism behind those that are here already."""
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
        self._watch_gates()  # a copy has gates of its own

    def _watch_gates(self) -> None:
        gates = [self._gate(slot) for slot in self.slots if slot.name]
        for gate in gates:
            if isinstance(gate, nn.Parameter):
                warn_if_slow(gate)

    @property
    def bypassed(self) -> bool:
        """Whether the host runs as if nothing had been inserted, in the calling context."""
        return bool(BYPASS.blocks(self))

    def _replicate_for_data_parallel(self) -> Any:
        replica = super()._replicate_for_data_parallel()
        BYPASS.carry(self, replica)
        return replica

    def enter(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Apply what is inserted before the host to its arguments."""
        for slot in self.slots:
            if slot.role == "before":
                gating = self._gating(slot, args, kwargs)
                args, kwargs = _map_argument(
                    args, kwargs, slot.argument, lambda x, s=slot, g=gating: self._refine(s, x, g)
                )
            elif slot.wire is not None and slot.side == "before" and slot.role == "source":
                slot.wire.send(self._run("as_map", slot, _first_argument(args, kwargs)))
            elif slot.wire is not None and slot.side == "before" and slot.role == "pool":
                args, kwargs = _map_argument(
                    args, kwargs, "", lambda x, s=slot: self._run("pool", s, x, s.wire.take())
                )
        return args, kwargs

    def leave(self, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        """Apply what is inserted after the host, or replaces it, to its output."""
        for slot in self.slots:
            if slot.role == "after":
                gating = self._gating(slot, args, kwargs)
                output = map_first_tensor(output, lambda x, s=slot, g=gating: self._refine(s, x, g))
            elif slot.role == "replace":
                given = _first_argument(args, kwargs)
                output = map_first_tensor(output, lambda x, s=slot, a=given: self._run("replace", s, x, a))
            elif slot.role in ("pool", "label") and slot.wire is None:
                given = self._run("as_map", slot, _first_argument(args, kwargs))
                output = map_first_tensor(output, lambda x, s=slot, a=given: self._run("pool", s, x, a))
            elif slot.role == "label":
                output = map_first_tensor(output, lambda x, s=slot: self._run("pool", s, x, s.wire.take()))
            elif slot.role == "source" and slot.wire is not None and slot.side == "after":
                found = first_tensor(output)
                slot.wire.send(None if found is None else self._run("as_map", slot, found))
        return output

    def replaced_output(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        """Return the host's input, in place of the output of a host that does not run."""
        return _first_argument(args, kwargs)

    def _gating(self, slot: Slot, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
        """Return the gating map of a gate, None where there is none or it lies in the same tensor."""
        if slot.gating is None:
            return None
        if slot.gating_wire is not None:
            return slot.gating_wire.take()
        name = slot.gating_argument
        if name is None:
            return None
        return self._run("gating_map", slot, kwargs[name] if name in kwargs else args[int(name)])

    def _refine(self, slot: Slot, x: Any, gating: Any) -> Any:
        """Weigh the map in ``x``, or the map from elsewhere that is part of ``x``."""
        more = () if gating is None else (gating,)
        if slot.wire is None:
            return self._run("refine", slot, x, *more)
        return self._run("refine_part", slot, x, slot.wire.take(), *more)

    def _run(self, action: str, slot: Slot, *tensors: Any) -> Any:
        """Run one action for a slot; while torch.fx traces, record it as one call of this module."""
        if isinstance(tensors[0], Proxy):
            return self(action, self.slots.index(slot), *tensors)
        return _ACTIONS[action](self, slot, *tensors)

    def _as_map(self, slot: Slot, x: Tensor) -> Tensor:
        return slot.layout.as_map(x)

    def _gating_map(self, slot: Slot, x: Tensor) -> Tensor:
        return x if slot.gating is None else slot.gating.as_map(x)

    def _refined(self, slot: Slot, x: Tensor, gating: Tensor | None = None) -> Tensor:
        mechanism = getattr(self, slot.name)
        if slot.gating is not None and gating is None:
            gating = slot.gating.as_map(x)
        more = () if gating is None else (gating,)
        return apply_to_map(slot.layout, x, lambda m: self._blend(slot, m, mechanism(m, *more)))

    def _refined_part(self, slot: Slot, x: Tensor, brought: Tensor, *more: Tensor) -> Tensor:
        return x + (self._blend(slot, brought, getattr(self, slot.name)(brought, *more)) - brought)

    def _replaced(self, slot: Slot, plain: Tensor, given: Tensor) -> Tensor:
        mechanism = getattr(self, slot.name)
        return self._blend(slot, plain, apply_to_map(slot.layout, given, mechanism))

    def _pooled(self, slot: Slot, plain: Tensor, source: Tensor) -> Tensor:
        return self._blend(slot, plain, getattr(self, slot.name)(source).reshape(plain.shape))

    def _blend(self, slot: Slot, plain: Tensor, weighed: Tensor) -> Tensor:
        """Return ``plain`` to the bit at gate 0, whatever ``weighed`` is, and ``weighed`` at gate 1.

        The gate is the outer one, or the mechanism's own. Where ``weighed`` is not finite a closed gate gets
        no gradient; an open one lets it through, so that it shows in the loss.
        """
        weighed, gate = weighed.to(plain.dtype), self._gate(slot)
        if gate is None:
            return weighed
        closed = ~gate.any()
        # Read the gate on the CPU only: on a GPU, reading it would wait for all that runs there.
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

    def forward(self, action: object, index: int = -1, *tensors: Any) -> Any:
        """Run one action for one slot, as a graph of torch.fx calls it.

        Anything else is refused: a host that runs all of its children would run its attention as one of them.
        """
        if not isinstance(action, str) or action not in _ACTIONS:
            titles = ", ".join(slot.title for slot in self.slots if slot.name)
            raise RuntimeError(
                f"foveate: a module ran its inserted child as one of its own layers ({titles}). "
                "Put the attention at the last of these layers instead"
            )
        if isinstance(tensors[0], Proxy):
            tracer: Any = tensors[0].tracer
            return tracer.create_proxy(
                "call_module", tracer.path_of_module(self), (action, index, *tensors), {}
            )
        if self.bypassed and action not in ("as_map", "gating_map"):
            if self.swaps:
                raise RuntimeError(
                    f"foveate: the graph does not contain {self.slots[index].site}, which bypass would run. "
                    "Use bypass on the model that was traced"
                )
            return tensors[0]
        return _ACTIONS[action](self, self.slots[index], *tensors)

    def extra_repr(self) -> str:
        """Return what happens here for ``print(model)``."""
        return ", ".join(
            f"{s.name} {s.role}" + (f", {s.gate}" if s.gate else "") for s in self.slots if s.name
        )


def holders(model: nn.Module) -> dict[str, Inserted]:
    """Return every holder in a model by the path of its host."""
    found = {path: module for path, module in model.named_modules() if isinstance(module, Inserted)}
    return {path.removesuffix(CHILD).removesuffix("."): holder for path, holder in found.items()}


_ACTIONS: dict[str, Callable[..., Any]] = {
    "as_map": Inserted._as_map,
    "gating_map": Inserted._gating_map,
    "refine": Inserted._refined,
    "refine_part": Inserted._refined_part,
    "replace": Inserted._replaced,
    "pool": Inserted._pooled,
}


def _first_argument(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the first tensor among the arguments."""
    found = first_tensor(args)
    if found is None:
        found = first_tensor(kwargs)
    if found is None:
        raise RuntimeError("foveate: the host was called without a tensor")
    return found


def _map_argument(
    args: tuple[Any, ...], kwargs: dict[str, Any], argument: str, function: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments with one of them, or the first tensor, replaced by ``function`` of it."""
    if argument in kwargs:
        if kwargs[argument] is None:
            return args, kwargs
        return args, {**kwargs, argument: map_first_tensor(kwargs[argument], function)}
    if argument:
        place = int(argument)
        return (*args[:place], map_first_tensor(args[place], function), *args[place + 1 :]), kwargs
    if first_tensor(args) is not None:
        return map_first_tensor(args, function), kwargs
    return args, map_first_tensor(kwargs, function)
