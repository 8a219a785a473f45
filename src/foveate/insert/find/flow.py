"""What the finders of sites know about one run: its maps, its blocks, the past of its tensors, and places."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from foveate.insert.find.axes import Axes
from foveate.insert.find.recorded_run import Call, Node, Run
from foveate.insert.layout import Layout
from foveate.nested_tensors import first_tensor


@dataclass(frozen=True)
class Deeper:
    """The deeper map that a skip connection meets, for mechanisms that take it as gating map.

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


class Maps:
    """The layouts of all tensors of one run.

    Args:
        run: The run.
        axes: The axes of every node; None for what was not made from the images.
        read: Returns the layout of a node, or why it is not a map.
    """

    def __init__(self, run: Run, axes: Sequence[Axes | None], read: Callable[[int], Layout | str]) -> None:
        self.rank = run.rank
        self.batch = run.batch.shape[0] if run.batch.ndim == 2 + run.rank else 1
        self._nodes, self._axes = run.trace.nodes, axes
        self._read = functools.cache(read)

    def output(self, call: Call) -> Layout | None:
        """Return the layout of what came out of ``call``, None if that is not a map."""
        return self.at(call.output_node) if call.returns_tensor else None

    def input(self, call: Call) -> Layout | None:
        """Return the layout of the first tensor that went into ``call``, None if that is not a map."""
        return self.at(call.input_nodes[0]) if call.input_nodes else None

    def at(self, node: int) -> Layout | None:
        """Return the layout of a tensor, None if it is not a map."""
        found = self._read(node)
        return found if isinstance(found, Layout) else None

    def why_no_map(self, node: int) -> str:
        """Return why a tensor is not a map; empty if it is one."""
        found = self._read(node)
        return found if isinstance(found, str) else ""

    def why_no_output(self, call: Call) -> str:
        """Return why no map comes out of a module; empty if one does."""
        if call.output is None or not call.returns_tensor:
            return "it returns no tensor, or a container of several"
        first = self.why_no_map(call.output_node)
        later = any(self.at(node) is not None for node in call.output_nodes if node != call.output_node)
        return f"{first}; a map comes later among what it returns" if first and later else first

    def shape(self, node: int) -> tuple[int, ...]:
        """Return the shape of a tensor."""
        return self._nodes[node].shape

    def has_positions(self, node: int) -> bool:
        """Return whether a tensor still counts rows or columns: what was pooled to 1 x 1 does not."""
        return any(f.root.what >= 0 or f.root.inside for axis in self._axes[node] or () for f in axis)

    def sums_images(self, node: int) -> bool:
        """Return whether a tensor was made of several that were made from the images, not of weights."""
        parents = self._nodes[node].parents
        return len(parents) > 1 and all(self._axes[parent] is not None for parent in parents)


@dataclass
class Lineage:
    """The past of every tensor of one run.

    Args:
        parents: For each node what it was made of; inside a block, the map that the block was given first.
        coarsest: For each node the fewest positions of a map that it was made through. Summaries, as in
            global or pyramid pooling, do not count.
        decoded: For each node whether it was made of maps of which one had been coarser.
    """

    parents: list[tuple[int, ...]] = field(default_factory=list)
    coarsest: list[float] = field(default_factory=list)
    decoded: list[bool] = field(default_factory=list)

    def finer(self, nodes: Iterable[int]) -> list[int]:
        """Return those that were never as coarse as the coarsest of them."""
        past = {node: self.coarsest[node] for node in nodes}
        least = min(past.values(), default=0)
        return [node for node, positions in past.items() if positions > least]

    def ancestors(self, node: int) -> set[int]:
        """Return a node and all that it was made from."""
        found, ahead = set[int](), [node]
        while ahead:
            number = ahead.pop()
            if number not in found:
                found.add(number)
                ahead += self.parents[number]
        return found


class Flow:
    """One run of a model, with all that is known about it.

    Args:
        run: The run.
        maps: The layouts of its tensors.
        every_block: Its residual or transformer blocks, the outermost ones.
        lineage: The past of its tensors.
        unused: Paths of blocks behind which no later layer reads the positions.
    """

    def __init__(
        self,
        run: Run,
        maps: Maps,
        every_block: list[Call],
        lineage: Lineage,
        unused: frozenset[str] = frozenset(),
    ) -> None:
        self.run, self.maps, self.every_block, self.lineage = run, maps, every_block, lineage
        self.blocks = [b for b in every_block if b.path not in unused]
        self.calls = list(run.calls.values())
        self.trunk = [c for c in self.calls if not any(block.contains(c) for block in every_block)]
        self.result: Tensor | None = first_tensor(run.result)

    @property
    def nodes(self) -> list[Node]:
        """Every tensor of the run."""
        return self.run.trace.nodes

    @property
    def uses(self) -> list[list[int]]:
        """For each tensor those that were made from it."""
        return self.run.trace.uses

    @cached_property
    def hosts(self) -> list[Call]:
        """The modules outside the blocks that run once, in the order in which they start."""
        return sorted((c for c in self.trunk if c.path and self.runs_once(c)), key=lambda c: c.started)

    def is_only_user(self, call: Call, node: int) -> bool:
        """Return whether all that is made of a node is made inside ``call``."""
        times = [self.nodes[use].time for use in self.uses[node]]
        return bool(times) and all(call.was_running(time) for time in times)

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

    def children(self, call: Call) -> list[Call]:
        """Return the calls right inside ``call``."""
        found: list[Call] = []
        for inner in sorted((c for c in self.calls if call.contains(c)), key=lambda c: c.started):
            if not found or not found[-1].contains(inner):
                found.append(inner)
        return found

    def is_leaf(self, call: Call) -> bool:
        """Return whether nothing ran inside ``call``."""
        return not any(call.contains(other) for other in self.calls)

    def runs_once(self, call: Call) -> bool:
        """Return whether the module ran once, or once in each run of a network that ran several times."""
        return self.run.runs_once(call.path)

    def makes_map(self, call: Call) -> bool:
        """Return whether a map of the whole batch comes out of ``call``."""
        return bool(call.path) and self.maps.output(call) is not None

    def positions(self, call: Call) -> int:
        """Return the number of positions of the map that comes out, 0 if none does."""
        layout = self.maps.output(call)
        return 0 if layout is None else layout.positions

    def outermost_with_output_of(self, call: Call) -> Call:
        """Return the outermost module that returns the tensor that ``call`` made, and that holds no block."""
        for around in self.run.ancestors(call.path):
            if around.output_key != call.output_key or any(around.contains(b) for b in self.every_block):
                break
            if len(around.output_nodes) > 1:
                break
            if self.runs_once(around) and (self.makes_map(around) or not self.makes_map(call)):
                call = around
        return call

    def host_that_makes(self, node: int) -> Call | None:
        """Return the outermost host that returns a node as its map."""
        made = (c for c in self.hosts if c.output_node == node and self.makes_map(c))
        return next(made, None)

    def last_map(self) -> Call | None:
        """Return the call that makes the last map outside the blocks; None if its module runs again."""
        made = [c for c in self.trunk if self.makes_map(c)]
        if not made:
            return None
        last = self.outermost_with_output_of(max(made, key=lambda c: (c.ended, -c.started)))
        return last if self.runs_once(last) else None

    def place_after(self, call: Call) -> Place:
        """Return the place where the map flows that ``call`` makes."""
        layout = self.maps.output(call)
        if layout is None:
            raise RuntimeError(f"{call.path} makes no map")
        return Place(call.path, "after", layout)

    def place_before(self, call: Call, node: int) -> Place | None:
        """Return the place where a map goes into ``call``, None if it is not a map."""
        at = call.input_nodes.index(node)
        name = call.inputs[at][0]
        layout = self.maps.at(node)
        alone = [n for n, _, _ in call.inputs].count(name) == 1
        return Place(call.path, "before", layout, argument=name if at else "") if layout and alone else None
