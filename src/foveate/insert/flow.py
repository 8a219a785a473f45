"""The run of a model in the terms that aliases need: blocks, the trunk around them, places, the result."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from foveate.insert.blocks import find_blocks
from foveate.insert.holder import first_tensor
from foveate.insert.layout import Layout
from foveate.insert.maps import Maps
from foveate.insert.probe import Call, Probe


@dataclass(frozen=True)
class Place:
    """Where something flows: out of a module, or into it.

    Args:
        path: The module.
        where: ``after`` for its output, ``before`` for its input.
        layout: How the map lies there.
        role: ``map`` for a map, ``pool`` for the vector that a map is pooled to, ``scores`` for logits.
        argument: For ``before``: the name of the argument that holds the map; empty for the first.
        source: For ``pool`` and ``scores``: where the map before pooling flows, as (path, where).
        classes: For ``scores``: how many.
    """

    path: str
    where: str
    layout: Layout
    role: str = "map"
    argument: str = ""
    source: tuple[str, str] | None = None
    classes: int = 0


class Flow:
    """One run of a model.

    Args:
        notes: What the probe noted.
        unread: Paths of blocks behind which no later layer reads the positions.
    """

    def __init__(self, notes: Probe, unread: frozenset[str] = frozenset()) -> None:
        self.notes, self.maps = notes, Maps(notes)
        self.every_block = find_blocks(notes, self.maps)
        self.blocks = [b for b in self.every_block if b.path not in unread]
        self.calls = list(notes.calls.values())
        self.trunk = [c for c in self.calls if not any(block.holds(c) for block in self.every_block)]
        self.result: Tensor | None = first_tensor(notes.result)

    @property
    def classifies(self) -> bool:
        """Whether the model returns one row of scores for each image."""
        return self._returns(2)

    @property
    def is_dense(self) -> bool:
        """Whether the model returns one map of scores for each image."""
        return self._returns(4)

    def _returns(self, axes: int) -> bool:
        result = self.result
        return result is not None and result.ndim == axes and result.shape[0] == self.maps.batch

    def inside(self, call: Call) -> list[Call]:
        """Return the calls right inside of ``call``."""
        held = [c for c in self.calls if call.holds(c)]
        return [c for c in held if not any(other.holds(c) for other in held)]

    def is_leaf(self, call: Call) -> bool:
        """Return whether nothing ran inside of ``call``."""
        return not any(call.holds(other) for other in self.calls)

    def once(self, call: Call) -> bool:
        """Return whether the module ran once."""
        return self.notes.counts[call.path] == 1

    def makes_map(self, call: Call) -> bool:
        """Return whether a map of the whole batch comes out of ``call``."""
        layout = self.maps.output(call)
        return (
            bool(call.path)
            and layout is not None
            and call.output is not None
            and (call.output.shape[0] == self.maps.batch)
        )

    def positions(self, call: Call) -> int:
        """Return the number of positions of the map that comes out, 0 if none does."""
        layout = self.maps.output(call)
        return 0 if layout is None else layout.height * layout.width

    def outer(self, call: Call) -> Call:
        """Return the outermost module that returns the very tensor that ``call`` made and holds no block."""
        for around in self.notes.ancestors(call.path):
            if around.output_key != call.output_key or any(around.holds(b) for b in self.every_block):
                break
            if self.once(around) and (self.makes_map(around) or not self.makes_map(call)):
                call = around
        return call

    def last_map(self) -> Call | None:
        """Return the call that makes the last map outside of blocks."""
        made = [c for c in self.trunk if self.makes_map(c)]
        return self.outer(max(made, key=lambda c: (c.ended, -c.started))) if made else None

    def behind(self, call: Call) -> Place:
        """Return the place where the map flows that ``call`` makes."""
        layout = self.maps.output(call)
        if layout is None:
            raise RuntimeError(f"{call.path} makes no map")
        return Place(call.path, "after", layout)
