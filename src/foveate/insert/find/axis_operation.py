"""One operation of a run, and what elementwise operations make of the axes of their operands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from foveate.insert.find.axes import OTHER, Axes, Axis, others, whole
from foveate.insert.find.recorded_run import Node, Operand


@dataclass(frozen=True)
class Operation:
    """One operation: what it is given, and the shape of what it returns."""

    node: Node
    found: list[Axes | None]
    images: Mapping[int, Axes]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of what it returns."""
        return self.node.shape

    def operand(self, place: int) -> Operand:
        """Return an argument that is a tensor."""
        value = self.argument(place)
        return value if isinstance(value, Operand) else Operand(-1, ())

    def argument(self, place: int, default: object = None) -> object:
        """Return an argument, or its default."""
        return self.node.arguments[place] if place < len(self.node.arguments) else default

    def number(self, place: int, default: int) -> int:
        """Return an argument that is a whole number."""
        value = self.argument(place)
        return value if isinstance(value, int) else default

    def numbers(self, place: int) -> list[int]:
        """Return an argument that is a list of whole numbers, or one of them."""
        value = self.argument(place, ())
        return [value] if isinstance(value, int) else [n for n in items_of(value) if isinstance(n, int)]

    def axes(self, operand: Operand) -> Axes:
        """Return the axes of a tensor."""
        known = self.found[operand.node] if operand.node >= 0 else None
        return others(operand.shape) if known is None else known

    def is_of_images(self, axis: Axis) -> bool:
        """Return whether an axis counts all images."""
        return any(axis == axes[0] for axes in self.images.values())

    @property
    def rank(self) -> int:
        """How many axes a batch of images has."""
        return len(next(iter(self.images.values())))


def items_of(value: object) -> Sequence[object]:
    """Return the items of an argument that is a list, none of any other."""
    return value if isinstance(value, tuple | list) else ()


def elementwise(op: Operation) -> Axes:
    """Return for each axis what the operands, broadcast, know of it; else the axes whose sizes stay."""
    operands = [o for o in operands_in(op.node.arguments) if o.node >= 0 and op.found[o.node] is not None]
    if not operands:
        return others(op.shape)
    if all(_broadcasts(o.shape, op.shape) for o in operands):
        return tuple(known_axis(op, operands, n) for n in range(-len(op.shape), 0))
    first = operands[0]
    axes = op.axes(first)
    if len(first.shape) == len(op.shape):
        pairs = zip(axes, first.shape, op.shape, strict=True)
        return tuple(axis if old == new else whole(OTHER, new) for axis, old, new in pairs)
    same = bool(op.shape) and bool(first.shape) and op.shape[0] == first.shape[0]
    return (axes[0], *others(op.shape[1:])) if same else others(op.shape)


def operands_in(values: Sequence[object]) -> list[Operand]:
    """Return all tensors among nested arguments."""
    found: list[Operand] = []
    for value in values:
        found += [value] if isinstance(value, Operand) else operands_in(items_of(value))
    return found


def _broadcasts(shape: Sequence[int], to: Sequence[int]) -> bool:
    pairs = zip(reversed(shape), reversed(to), strict=False)
    return len(shape) <= len(to) and all(a in (1, b) for a, b in pairs)


def known_axis(op: Operation, operands: Sequence[Operand], place: int) -> Axis:
    """Return what the operands know of an axis, counted from the last."""
    found = [
        op.axes(o)[place] for o in operands if len(o.shape) >= -place and o.shape[place] == op.shape[place]
    ]
    return max(found, key=_tracked_share, default=whole(OTHER, op.shape[place]))


def _tracked_share(axis: Axis) -> float:
    """Return which share of an axis, in factors of more than one, counts images or positions."""
    own = [factor for factor in axis if factor.size > 1] or axis
    return sum(factor.is_tracked for factor in own) / len(own) if own else 0.0
