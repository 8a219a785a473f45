"""One run of a model: which modules ran, and which tensor was made from which, by what, and when.

Modules alone do not show where a skip connection goes: most networks join it in a line of a ``forward``. The
graph holds numbers only; the tensors themselves are freed as in any other run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from foveate.nested_tensors import tensors_in

JOIN = "cat"
SUM = "add"
PRODUCT = "mul"
SUMMARIES = {"mean", "amax", "max", "_adaptive_avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d"}
Key = tuple[int, int]  # a tensor at one moment: identity, version


class Operand(NamedTuple):
    """A tensor that an operation was given: its node, -1 for weights and whatever else was not traced."""

    node: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """A tensor at one moment; an in-place change makes another node.

    Args:
        operation: What made it, such as ``convolution``; ``cat`` only where channels are joined; empty for
            what came from outside.
        parents: The nodes that it was made from, in order, without the weights.
        shape: Its shape.
        time: When it was made, by the clock of the calls.
        arguments: What the operation was given; each tensor as an :class:`Operand`.
        result: Which of the operation's results it is.
        is_map: Whether it has the axes of a map, none of them empty.
    """

    operation: str
    parents: tuple[int, ...]
    shape: tuple[int, ...]
    time: int
    arguments: tuple[object, ...] = ()
    result: int = 0
    is_map: bool = False

    @property
    def positions(self) -> int:
        """Rows times columns, for a map with channels first; 0 for anything else."""
        return math.prod(self.shape[2:]) if self.is_map else 0


class Trace:
    """All tensors of one run.

    Args:
        rank: Axes of the positions of the input; tensors of four axes can be maps whatever it is.

    Attributes:
        nodes: Each tensor, in the order in which they were made.
        uses: For each node the nodes that were made from it.
        time: A clock that counts the starts and ends of modules.
    """

    def __init__(self, rank: int = 2) -> None:
        self._axes = (4, 2 + rank)
        self.nodes: list[Node] = []
        self.uses: list[list[int]] = []
        self.time = 0
        self._numbers: WeakTensorKeyDictionary = WeakTensorKeyDictionary()

    def tick(self) -> int:
        """Move the clock on by one, and return the time."""
        self.time += 1
        return self.time

    def has_map_axes(self, tensor: Tensor) -> bool:
        """Return whether a tensor has as many axes as a map."""
        return tensor.ndim in self._axes

    def node_of(self, tensor: Tensor) -> int:
        """Return the number of a tensor's node; a tensor seen for the first time comes from outside."""
        if tensor not in self._numbers:
            self._add(tensor, self._node("", (), tensor))
        return int(self._numbers[tensor])

    def record(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], result: object) -> None:
        """Record what an operation made of what."""
        name = name.removeprefix("aten::").rstrip("_")
        if name == JOIN:
            axis = args[1] if len(args) > 1 else kwargs.get("dim", 0)
            name = name if axis % max(1, args[0][0].ndim) == 1 else f"{name} along {axis}"
            parents = tuple(self.node_of(tensor) for tensor in args[0])
        else:
            given = tensors_in((*args, *kwargs.values()))
            parents = tuple(int(self._numbers[tensor]) for tensor in given if tensor in self._numbers)
        if parents:
            arguments = self._written(args)
            for index, tensor in enumerate(tensors_in(result)):
                if tensor.is_floating_point():
                    self._add(tensor, self._node(name, parents, tensor, arguments, index))

    def made_from(self, sources: set[int]) -> list[bool]:
        """Return for each node whether it is among ``sources`` or was made from one of them."""
        found: list[bool] = []
        for number, node in enumerate(self.nodes):
            found.append(number in sources or any(found[parent] for parent in node.parents))
        return found

    def merged_maps(self, number: int) -> list[int]:
        """Return what a node joins, sums or multiplies, if it does: maps of the size of its result."""
        node = self.nodes[number]
        if node.operation not in (JOIN, SUM, PRODUCT) or not node.is_map:
            return []
        return [p for p in dict.fromkeys(node.parents) if self.nodes[p].positions == node.positions]

    def _node(
        self,
        name: str,
        parents: tuple[int, ...],
        tensor: Tensor,
        arguments: tuple[object, ...] = (),
        index: int = 0,
    ) -> Node:
        shape = tuple(tensor.shape)
        is_map = len(shape) in self._axes and all(shape)
        return Node(name, parents, shape, self.time, arguments, index, is_map)

    def _written(self, values: Sequence[Any]) -> tuple[object, ...]:
        """Return arguments with each tensor as its number and shape."""
        return tuple(self._written_one(value) for value in values)

    def _written_one(self, value: Any) -> object:
        if isinstance(value, Tensor):
            return Operand(self._numbers.get(value, -1), tuple(value.shape))
        return self._written(value) if isinstance(value, list | tuple) else value

    def _add(self, tensor: Tensor, node: Node) -> None:
        self._numbers[tensor] = number = len(self.nodes)
        self.nodes.append(node)
        self.uses.append([])
        for parent in dict.fromkeys(node.parents):
            self.uses[parent].append(number)


class TraceOperations(TorchDispatchMode):
    """Record in a trace every operation that runs inside."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self.trace = trace

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self.trace.record(func._schema.name, args, kwargs or {}, result)
        return result


@dataclass
class Call:
    """One module that ran.

    Args:
        path: Its path in the model, ``""`` for the model itself.
        module: The module.
        started: When it started, by the clock that counts starts and ends.
        inputs: The tensors that went in: (argument, tensor's key, tensor).
        ended: When it ended, by the same clock.
        output: The first tensor that came out.
        output_key: Its key.
        returns_tensor: Whether it returned one tensor, or a tuple that starts with one.
        adds: The nodes of sums of two maps of one shape in its own ``forward``.
        joins: How many maps it joins there.
        input_nodes: The nodes of ``inputs`` in the trace.
        output_node: The node of ``output``.
        later_output_nodes: The nodes of what came out when the module ran again.
        output_nodes: The nodes of all tensors with a batch and channels that came out.
    """

    path: str
    module: nn.Module
    started: int
    inputs: list[tuple[str, Key, Tensor]]
    ended: int = -1
    output: Tensor | None = None
    output_key: Key = (0, 0)
    returns_tensor: bool = False
    adds: list[int] = field(default_factory=list)
    joins: int = 0
    input_nodes: list[int] = field(default_factory=list)
    output_node: int = -1
    later_output_nodes: list[int] = field(default_factory=list)
    output_nodes: list[int] = field(default_factory=list)

    @property
    def parent(self) -> str:
        """The path of the module that holds this one."""
        return self.path.rpartition(".")[0]

    @property
    def numberless_path(self) -> str:
        """The path with its numbers left open: what modules in one row have in common."""
        return re.sub(r"\d+", "N", self.path)

    def contains(self, other: Call) -> bool:
        """Return whether ``other`` ran inside this call."""
        return self.started < other.started and other.ended < self.ended

    def was_running(self, time: int) -> bool:
        """Return whether this call was running at a time."""
        return self.started <= time < self.ended


@dataclass
class Run:
    """Everything recorded in one run.

    Args:
        calls: Path to its first call, in order of start.
        counts: Path to the number of calls.
        result: What the model returned.
        image: The first image of the example.
        trace: What every tensor was made from.
        rank: Axes of the positions of the input: 1 for signals, 2 for images, 3 for volumes and videos.
    """

    calls: dict[str, Call]
    counts: dict[str, int]
    result: object
    image: Tensor
    trace: Trace
    rank: int = 2

    @property
    def batch(self) -> Tensor:
        """The input as the first layer takes it: images (B, C, H, W), signals or volumes."""
        given = (c.inputs[0][2] for c in self.calls.values() if c.inputs)
        return next((t for t in given if t.ndim == 2 + self.rank), self.image)

    def runs_once(self, path: str) -> bool:
        """Return whether a module runs once, or once in every run of a network that the model runs again.

        Such as the encoder that sees an image at several scales; a layer that runs twice in a block does not.
        """
        network = path.partition(".")[0]
        return self.counts[path] == 1 or (network != path and self.counts[path] == self.counts.get(network))

    def ancestors(self, path: str) -> Iterator[Call]:
        """Yield the calls around ``path`` from the nearest to the outermost, without the model itself."""
        while "." in path:
            path = path.rpartition(".")[0]
            if path in self.calls:
                yield self.calls[path]

    def is_used_in(self, node: int, call: Call) -> bool:
        """Return whether anything is made of a node inside ``call``."""
        return any(call.was_running(self.trace.nodes[use].time) for use in self.trace.uses[node])

    def map_arguments(self, call: Call) -> dict[str, int]:
        """Return the maps that a module computes with and that come each as one argument."""
        names = [name for name, _, _ in call.inputs]
        return {
            name: node
            for name, node in zip(names, call.input_nodes, strict=True)
            if names.count(name) == 1 and self.trace.nodes[node].is_map and self.is_used_in(node, call)
        }
