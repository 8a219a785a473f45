"""What one mechanism does in its host, and the wire that brings a map from elsewhere."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Literal

import torch

from foveate.insert.layout import Layout

Role = Literal["before", "after", "replace", "pool", "label", "source"]


class Wire(threading.local):
    """Carries one map from the module that makes it to the module that needs it, within one forward pass.

    Every thread has its own value, so that several may run one model at the same time.
    """

    value: Any = None

    def send(self, value: Any) -> None:
        """Store a map until it is taken."""
        self.value = value
        if not torch.compiler.is_dynamo_compiling() and torch._C._current_graph_task_id() != -1:
            _drop_after_backward(self)  # run again for the backward pass, in which it may never be taken

    def take(self) -> Any:
        """Return what was sent, and drop it here."""
        value, self.value = self.value, None
        if value is None:
            raise RuntimeError(
                "foveate: a map was needed before the module that makes it had run. Both belong to one "
                "forward pass: call the model as a whole, and checkpoint both in one segment or neither"
            )
        return value

    def __reduce__(self) -> tuple[type[Wire], tuple[()]]:
        return Wire, ()


def _drop_after_backward(wire: Wire) -> None:
    state = wire.__dict__  # of this thread; the engine may call back from another
    torch.autograd.Variable._execution_engine.queue_callback(state.clear)


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
        gating: For a gate: how the gating map lies in its tensor; None for all others.
        gating_argument: The argument that holds the gating map; None if none does.
        gating_wire: Brings the gating map from elsewhere. With neither it lies in the same tensor.
        site: The path that the spec names; the host may be the last module in it, or the first.
        serves: For a source: what needs the map, such as ``csra at fc``.
        levels: How many modules deep in the site the host is; 0 where it is the site itself.
        old_name: Its name among what is at the site, whose host was the site itself in older versions.
    """

    name: str
    role: Role
    layout: Layout
    gate: str = ""
    own_gate: str = ""
    side: Literal["before", "after"] = "before"
    argument: str = ""
    wire: Wire | None = None
    gating: Layout | None = None
    gating_argument: str | None = None
    gating_wire: Wire | None = None
    site: str = ""
    serves: str = ""
    levels: int = 0
    old_name: str = ""

    @property
    def title(self) -> str:
        """What sits where, for messages."""
        what = f"{self.old_name or self.name} at" if self.name else f"the map for {self.serves}, from"
        return f"{what} {self.site or 'the model itself'}"

    @property
    def order(self) -> tuple[int, bool]:
        """Sorts the slots of one side in the order in which the map meets their sites; sources come last."""
        depth = self.site.count(".")
        comes = self.role == "before" or (self.role != "after" and self.side == "before")
        return depth if comes else -depth, self.role == "source"
