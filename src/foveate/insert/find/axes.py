"""What the axes of a tensor count: images, rows, columns, channels; each of them whole or in parts.

Shapes do not show how a map lies in a tensor: 16 may be images, windows or channels. So each axis is written
as a product of factors, the outer one first, and a factor says which digits it counts of which root: of a
root of size 12, split into windows of 3, the windows are ``Factor(root, stride=3, size=4)`` and the places in
a window ``Factor(root, stride=1, size=3)``. One image, one row or one column is a factor of size 1, so that
what is found does not depend on their number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

IMAGES, OTHER = -2, -1  # what a root counts; from 0 on the axes of the picture: 0 rows, 1 columns


@dataclass(frozen=True, eq=False)
class Root:
    """Something that is counted, such as the rows of one map.

    Args:
        what: ``IMAGES``, ``OTHER`` (channels, heads, whatever is unknown), or the number of a picture's axis.
        size: How many there are.
        inside: For positions that share an axis with class tokens: the positions.
        before: How many tokens come before them.
    """

    what: int
    size: int
    inside: tuple[Factor, ...] = ()
    before: int = 0


@dataclass(frozen=True)
class Factor:
    """The digits of a root that an axis counts: ``index // stride % size``."""

    root: Root
    stride: int
    size: int

    @property
    def is_tracked(self) -> bool:
        """Whether it counts images or positions."""
        return self.root.what != OTHER or bool(self.root.inside)


Axis = tuple[Factor, ...]
Axes = tuple[Axis, ...]


def whole(what: int, size: int) -> Axis:
    """Return an axis that counts something new."""
    return (Factor(Root(what, size), 1, size),) if size > 1 or what != OTHER else ()


def others(shape: Sequence[int]) -> Axes:
    """Return axes about which nothing is known."""
    return tuple(whole(OTHER, size) for size in shape)


def of_pictures(shape: Sequence[int]) -> Axes:
    """Return the axes of a batch of images, signals or volumes, channels first."""
    spatial = (whole(number, size) for number, size in enumerate(shape[2:]))
    return (whole(IMAGES, shape[0]), whole(OTHER, shape[1]), *spatial)


def is_tracked(axis: Axis) -> bool:
    """Return whether an axis counts images or positions, among other things or alone."""
    return any(factor.is_tracked for factor in axis)


def counts(axis: Axis) -> int:
    """Return what all factors of an axis count; ``OTHER`` where they differ."""
    found = {factor.root.what for factor in axis}
    return found.pop() if len(found) == 1 else OTHER


def is_space(axis: Axis) -> bool:
    """Return whether an axis counts positions and nothing else."""
    return bool(axis) and all(factor.root.what >= 0 for factor in axis)


def opened(axis: Axis) -> tuple[Axis, int, int]:
    """Return the positions of an axis, and how many tokens come before and behind them."""
    if len(axis) != 1 or not axis[0].root.inside:
        return axis, 0, 0
    root = axis[0].root
    return root.inside, root.before, root.size - root.before - length(root.inside)


def length(axis: Axis) -> int:
    """Return the size of an axis."""
    return math.prod(factor.size for factor in axis)


def regrouped(axes: Axes, shape: Sequence[int]) -> Axes:
    """Return the axes after a change of shape that keeps the order of all elements.

    A factor of size 1 may go either way: into an axis of size 1 if one comes, or else to its neighbours, a
    single image to the positions in front of it or to what comes next.
    """
    pending = [factor for axis in reversed(axes) for factor in reversed(axis)]
    found: list[Axis] = []
    for size, following in zip(shape, (*shape[1:], 0), strict=True):
        axis = _taken(pending, size)
        if axis is None:
            return (*found, *others(shape[len(found) :]))
        while pending and pending[-1].size == 1 and _belongs(pending[-1], axis, size, following):
            axis.append(pending.pop())
        found.append(merged(axis))
    return tuple(found)


def _belongs(single: Factor, axis: list[Factor], size: int, following: int) -> bool:
    """Return whether a factor of size 1 goes to the axis in front of it."""
    if size == 1:
        return not axis or following != 1
    if single.root.what == IMAGES and following > 1:
        return is_space(tuple(axis))
    return following != 1


def _taken(pending: list[Factor], size: int) -> list[Factor] | None:
    """Take the factors of a product from the end of a list, splitting the last; None if they do not fit."""
    axis: list[Factor] = []
    while size > 1:
        if not pending:
            return None
        factor = pending.pop()
        if size % factor.size == 0:
            size //= factor.size
        elif factor.size % size == 0 and not factor.root.inside:
            inner = factor.size // size
            pending.append(Factor(factor.root, factor.stride, inner))
            factor, size = Factor(factor.root, factor.stride * inner, size), 1
        else:
            return None
        axis.append(factor)
    return axis


def merged(factors: Sequence[Factor]) -> Axis:
    """Return factors, with neighbours merged that were split from each other."""
    found: list[Factor] = []
    for factor in factors:
        last = found[-1] if found else None
        if last and last.root is factor.root and last.stride == factor.stride * factor.size:
            found[-1] = Factor(factor.root, factor.stride, last.size * factor.size)
        else:
            found.append(factor)
    return tuple(found)


def resized(axis: Axis, before: int, after: int) -> Axis:
    """Return what an axis becomes when it is scaled, padded or cut: rows of another size are still rows."""
    if before == after:
        return axis
    what = counts(axis)
    return whole(what if what >= 0 else OTHER, after)


def cut(axis: Axis, size: int, start: int, count: int, step: int = 1) -> Axis:
    """Return the axis of a slice; without the class tokens it counts the positions again."""
    inside, before, behind = opened(axis)
    if not before and not behind:
        return resized(axis, size, count)
    left = before - start
    if step == 1 and left >= 0 and count >= left + length(inside):
        return beside(inside, left, count - left - length(inside))
    return whole(OTHER, count)


def beside(positions: Axis, before: int, behind: int) -> Axis:
    """Return the axis in which other tokens come before and behind positions."""
    inside, more, less = opened(positions)
    before, behind = before + more, behind + less
    if not before and not behind:
        return inside
    size = before + length(inside) + behind
    return (Factor(Root(OTHER, size, inside, before), 1, size),)


def put_together(parts: Sequence[Axis], sizes: Sequence[int]) -> Axis:
    """Return the axis that joins several: pieces of rows make rows, tokens come before or behind them."""
    total = sum(sizes)
    places = [n for n, part in enumerate(parts) if is_space(opened(part)[0])]
    if len(places) == 1:
        at = places[0]
        return beside(parts[at], sum(sizes[:at]), sum(sizes[at + 1 :]))
    kinds = {counts(part) for part in parts if part}
    kind = kinds.pop() if len(kinds) == 1 and len(places) > 1 else OTHER
    return whole(max(kind, OTHER), total)
