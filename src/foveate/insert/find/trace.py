"""The graph of one run: which tensor was made from which, by what, and when.

Modules alone do not tell where a skip connection goes: most networks join it in a line of a ``forward``. The
graph holds numbers only; the tensors themselves are let go of as in any other run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from foveate.nested_tensors import tensors_in

JOIN = "cat"
SUM = "add"
PRODUCT = "mul"


class Operand(NamedTuple):
    """A tensor that an operation was given: its node, -1 for weights and whatever else was not traced."""

    node: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """A tensor as it was at one moment; an in-place change makes another node.

    Args:
        operation: What made it, such as ``convolution``; ``cat`` only where channels are joined; empty for
            what came from outside.
        parents: The nodes that it was made from, in order, weights left out.
        shape: Its shape.
        made: When, by the clock of the calls.
        arguments: What the operation was given; each tensor as an :class:`Operand`.
        place: Which of the operation's results it is.
        is_map: Whether it has the axes of a map, none of them empty.
    """

    operation: str
    parents: tuple[int, ...]
    shape: tuple[int, ...]
    made: int
    arguments: tuple[object, ...] = ()
    place: int = 0
    is_map: bool = False

    @property
    def positions(self) -> int:
        """Rows times columns, for a map with channels first; 0 for anything else."""
        return math.prod(self.shape[2:]) if self.is_map else 0


class Trace:
    """All tensors of one run.

    Args:
        rank: Axes of the positions of what comes in; tensors of four axes can be maps whatever it is.

    Attributes:
        nodes: Each tensor, in the order in which they were made.
        uses: For each node the nodes that were made from it.
    """

    def __init__(self, rank: int = 2) -> None:
        self._axes = (4, 2 + rank)
        self.nodes: list[Node] = []
        self.uses: list[list[int]] = []
        self._numbers: WeakTensorKeyDictionary = WeakTensorKeyDictionary()

    def has_map_axes(self, tensor: Tensor) -> bool:
        """Return whether a tensor has as many axes as a map."""
        return tensor.ndim in self._axes

    def number(self, tensor: Tensor, clock: int) -> int:
        """Return the number of a tensor's node; one seen for the first time comes from outside."""
        if tensor not in self._numbers:
            self._add(tensor, self._node("", (), tensor, clock))
        return int(self._numbers[tensor])

    def note(
        self, name: str, args: Sequence[Any], kwargs: dict[str, Any], result: object, clock: int
    ) -> None:
        """Note what an operation made of what."""
        name = name.removeprefix("aten::").rstrip("_")
        if name == JOIN:
            axis = args[1] if len(args) > 1 else kwargs.get("dim", 0)
            name = name if axis % max(1, args[0][0].ndim) == 1 else f"{name} along {axis}"
            parents = tuple(self.number(tensor, clock) for tensor in args[0])
        else:
            arrived = tensors_in((*args, *kwargs.values()))
            parents = tuple(int(self._numbers[tensor]) for tensor in arrived if tensor in self._numbers)
        if parents:
            given = self._written(args)
            for place, tensor in enumerate(tensors_in(result)):
                if tensor.is_floating_point():
                    self._add(tensor, self._node(name, parents, tensor, clock, given, place))

    def _node(
        self,
        name: str,
        parents: tuple[int, ...],
        tensor: Tensor,
        clock: int,
        given: tuple[object, ...] = (),
        place: int = 0,
    ) -> Node:
        shape = tuple(tensor.shape)
        is_map = len(shape) in self._axes and all(shape)
        return Node(name, parents, shape, clock, given, place, is_map)

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
