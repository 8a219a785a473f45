"""Which of the tensors that flow through a model are maps, and how they lie in their tensors.

They are recognised by where their axes come from (``follow_axes``), never by their sizes: a map has
all images in one axis, its channels in another, and in the rest the rows and columns of one map, all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

from foveate.insert.find.axes import Axes, Axis, Factor, is_space, is_tracked, of_pictures, opened
from foveate.insert.find.flow import Maps
from foveate.insert.find.recorded_run import Run
from foveate.insert.layout import Kind, Layout


def read_layouts(run: Run, images: Mapping[int, Axes], axes: Sequence[Axes | None]) -> Maps:
    """Return the layouts of all tensors of one run.

    Args:
        run: The run.
        images: The axes of the nodes at which images enter.
        axes: The axes of every node, None for what was not made from the images.
    """

    def layout_of(node: int) -> Layout | str:
        own = axes[node]
        if own is None:
            return "it is not made from the images by operations that could be followed"
        first = next(iter(images.values()))
        return read(own, run.trace.nodes[node].shape, first[0], len(first) - 2)

    return Maps(run, axes, layout_of)


def entering_images(run: Run) -> dict[int, Axes]:
    """Return the nodes at which images enter: the first batch of them, and those that come with it."""
    calls = sorted(run.calls.values(), key=lambda call: call.started)
    given = [(n, t) for c in calls for (_, _, t), n in zip(c.inputs, c.input_nodes, strict=True)]
    entry = next(((n, t) for n, t in given if t.ndim == 2 + run.rank and t.is_floating_point()), None)
    if entry is None:
        return {}
    node, batch = entry
    found = {node: of_pictures(batch.shape)}
    for (_, _, tensor), other in zip(calls[0].inputs, calls[0].input_nodes, strict=True):
        if other != node and tensor.ndim == batch.ndim and len(tensor) == len(batch):
            found[other] = (found[node][0], *of_pictures(tensor.shape)[1:])
    return found


def read(axes: Axes, shape: Sequence[int], images: Axis, rank: int) -> Layout | str:
    """Return how a map lies in a tensor, or why it is none.

    Args:
        axes: The tensor's axes.
        shape: Its shape.
        images: The axis of all images.
        rank: How many axes a picture has besides images and channels.
    """
    if len(axes) < 3:
        return "it has no axes left for positions"
    at = _axis_of_images(axes, images)
    if isinstance(at, str):
        return at
    own = [*axes[:at], *axes[at + 1 :]]
    if at == 0 and len(own) == rank + 1:
        if _is_channels(own[0]) and all(map(_is_line, own[1:], range(rank))):
            return Layout.of("map", shape[1], shape[2:])
        if _is_channels(own[-1]) and all(map(_is_line, own[:-1], range(rank))):
            return Layout.of("grid", shape[-1], shape[1:-1])
    if not any(map(is_tracked, own)):
        return "it has no rows and columns: they were pooled, or picked in an order that is not known"
    if _is_channels(own[-1]) and all(not axis or is_space(opened(axis)[0]) for axis in own[:-1]):
        return _tokens("sequence" if at else "tokens", own[:-1], shape[-1], rank)
    if len(own) == 2 and not at and _is_channels(own[0]) and is_space(opened(own[1])[0]):
        return _tokens("flat", own[1:], shape[1], rank)
    if sum(not is_space(opened(axis)[0]) for axis in own) == 0:
        return "it weighs positions by positions"
    return "its channels lie in several axes, such as heads, or share one with positions"


def _axis_of_images(axes: Axes, images: Axis) -> int | str:
    """Return the axis that counts the images and nothing else, or why there is none."""
    where = [n for n, axis in enumerate(axes) if any(factor in images for factor in axis)]
    if not where and images[0].size == 1 and not axes[0]:
        where, axes = [0], (images, *axes[1:])  # a single image, that an operation moved about as it liked
    if any(_without_single(axes[n]) != images for n in where):
        return "images share an axis with parts of them, such as windows or heads"
    if where == [0] or (where == [1] and len(axes) == 3):
        return where[0]
    return "its first axis does not count the images" if where else "no axis counts the images"


def _without_single(axis: Axis) -> Axis:
    """Return an axis without single rows and columns, which may stand in any."""
    return tuple(factor for factor in axis if factor.size > 1 or factor.root.what < 0)


def _is_channels(axis: Axis) -> bool:
    """Return whether an axis counts channels: of positions it may have absorbed the inner digits alone."""
    return not any(f.root.inside or (f.root.what >= 0 and _is_outermost(f)) for f in _without_single(axis))


def _is_outermost(factor: Factor) -> bool:
    return factor.stride * factor.size == factor.root.size


def _is_line(axis: Axis, number: int) -> bool:
    """Return whether an axis counts all rows, or all columns, of one map in their order."""
    return not axis or (len(axis) == 1 and axis[0].root.what == number and _is_outermost(axis[0]))


def _tokens(kind: Kind, places: Sequence[Axis], channels: int, rank: int) -> Layout | str:
    """Return the layout of positions that are laid out in line, in whatever order."""
    places = [axis for axis in places if axis]
    inside, before, behind = opened(places[0]) if len(places) == 1 else (tuple(chain(*places)), 0, 0)
    lines: list[list[Factor]] = []
    for number in range(rank):
        line = sorted((f for f in inside if f.root.what == number), key=lambda f: -f.stride)
        if not line:
            return "its positions are no longer rows and columns: one of the two is gone"
        if not _is_complete(line):
            return "its positions are windows of a map and not the whole, or parts of several maps"
        lines.append(line)
    plain = [factor for line in lines for factor in line]
    order = tuple(inside.index(factor) for factor in plain)
    parts = tuple(factor.size for factor in inside)
    if order == tuple(range(len(order))) and len(places) == 1:
        parts = order = ()
    size = [_size(line) for line in lines]
    return Layout.of(kind, channels, size, prefix=before, suffix=behind, parts=parts, order=order)


def _is_complete(line: Sequence[Factor]) -> bool:
    """Return whether the digits of one root, outermost first, follow each other without a gap."""
    left = line[0].root.size
    for factor in line:
        if factor.root is not line[0].root or factor.stride * factor.size != left:
            return False
        left = factor.stride
    return True


def _size(line: Sequence[Factor]) -> int:
    return line[0].root.size // line[-1].stride
