"""The run of a model in the terms that aliases need: blocks, the trunk around them, places, the result."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from foveate.insert.find.blocks import find_blocks, hidden_blocks
from foveate.insert.find.encoder_decoder import Lineage
from foveate.insert.find.maps import Maps
from foveate.insert.find.probe import Call, Probe
from foveate.insert.layout import Layout
from foveate.nested_tensors import first_tensor


@dataclass(frozen=True)
class Deeper:
    """The deeper map that a skip connection meets, for mechanisms that ask it.

    Args:
        layout: How it lies.
        argument: The argument that holds it, where it goes into the same module.
        source: The module behind which it flows, where it comes from elsewhere. With neither it lies beside
            the connection's map in one tensor.
    """

    layout: Layout
    argument: str | None = None
    source: tuple[str, str] | None = None


@dataclass(frozen=True)
class Place:
    """Where something flows: out of a module, or into it.

    Args:
        path: The module.
        where: ``after`` for its output, ``before`` for its input.
        layout: How the map lies there.
        role: ``map`` for a map, ``pool`` for the vector that a map is pooled to, ``scores`` for logits.
        argument: For ``before``: the name of the argument that holds the map; empty for the first.
        source: For ``pool`` and ``scores``: where the map before pooling flows, as (path, where). For a map:
            where it flows before it is added to what is here.
        classes: For ``scores``: how many.
        deeper: For a skip connection: the deeper map.
    """

    path: str
    where: str
    layout: Layout
    role: str = "map"
    argument: str = ""
    source: tuple[str, str] | None = None
    classes: int = 0
    deeper: Deeper | None = None


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
        self.lineage = Lineage(notes, self.maps, self.every_block)

    @cached_property
    def hosts(self) -> list[Call]:
        """The modules outside of blocks that run once, in the order in which they start."""
        return sorted((c for c in self.trunk if c.path and self.once(c)), key=lambda c: c.started)

    @property
    def hidden(self) -> list[Call]:
        """What works as blocks do, and is none because no map comes out of it."""
        return hidden_blocks(self.notes, self.maps, self.every_block)

    def has_to_itself(self, call: Call, node: int) -> bool:
        """Return whether all that is made of a node is made inside of ``call``."""
        made = [self.lineage.nodes[use].made for use in self.lineage.uses[node]]
        return bool(made) and all(call.held(clock) for clock in made)

    @property
    def classifies(self) -> bool:
        """Whether the model returns one row of scores for each image."""
        return self._returns(2)

    @property
    def is_dense(self) -> bool:
        """Whether the model returns one map of scores for each image."""
        return self._returns(2 + self.maps.rank)

    def _returns(self, axes: int) -> bool:
        result = self.result
        return result is not None and result.ndim == axes and result.shape[0] == self.maps.batch

    def inside(self, call: Call) -> list[Call]:
        """Return the calls right inside of ``call``."""
        found: list[Call] = []
        for held in sorted((c for c in self.calls if call.holds(c)), key=lambda c: c.started):
            if not found or not found[-1].holds(held):
                found.append(held)
        return found

    def is_leaf(self, call: Call) -> bool:
        """Return whether nothing ran inside of ``call``."""
        return not any(call.holds(other) for other in self.calls)

    def once(self, call: Call) -> bool:
        """Return whether the module ran once, or once in each run of a network that ran several times."""
        return self.notes.once(call.path)

    def makes_map(self, call: Call) -> bool:
        """Return whether a map of the whole batch comes out of ``call``."""
        return bool(call.path) and self.maps.output(call) is not None

    def positions(self, call: Call) -> int:
        """Return the number of positions of the map that comes out, 0 if none does."""
        layout = self.maps.output(call)
        return 0 if layout is None else layout.positions

    def outer(self, call: Call) -> Call:
        """Return the outermost module that returns the very tensor that ``call`` made and holds no block."""
        for around in self.notes.ancestors(call.path):
            if around.output_key != call.output_key or any(around.holds(b) for b in self.every_block):
                break
            if around.returns > 1:
                break
            if self.once(around) and (self.makes_map(around) or not self.makes_map(call)):
                call = around
        return call

    def last_map(self) -> Call | None:
        """Return the call that makes the last map outside of blocks; None if its module runs again."""
        made = [c for c in self.trunk if self.makes_map(c)]
        last = self.outer(max(made, key=lambda c: (c.ended, -c.started))) if made else None
        return last if last is not None and self.once(last) else None

    def behind(self, call: Call) -> Place:
        """Return the place where the map flows that ``call`` makes."""
        layout = self.maps.output(call)
        if layout is None:
            raise RuntimeError(f"{call.path} makes no map")
        return Place(call.path, "after", layout)

    def in_front(self, call: Call, node: int) -> Place | None:
        """Return the place where a map goes into ``call``, None if it is no map."""
        at = call.arrived.index(node)
        name = call.inputs[at][0]
        layout = self.maps.at(node)
        alone = [n for n, _, _ in call.inputs].count(name) == 1
        return Place(call.path, "before", layout, argument=name if at else "") if layout and alone else None
