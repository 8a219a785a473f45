"""Follow the axes of the images through every operation of one run.

The images are known when they enter: (B, C, rows, columns). What an operation makes of each axis follows from
what it is given, so that a map is known again after it was cut into windows, laid out as tokens, put in
another order or scaled. An operation that is not known here keeps the axes whose sizes it keeps, and loses
the others; a sum with something known makes them known again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from foveate.insert.find.axes import (
    IMAGES,
    OTHER,
    Axes,
    Axis,
    Factor,
    counts,
    cut,
    is_tracked,
    merged,
    others,
    put_together,
    regrouped,
    resized,
    whole,
)
from foveate.insert.find.trace import Node, Operand, Trace


def picture(shape: Sequence[int]) -> Axes:
    """Return the axes of a batch of images, channels first."""
    spatial = (whole(number, size) for number, size in enumerate(shape[2:]))
    return (whole(IMAGES, shape[0]), whole(OTHER, shape[1]), *spatial)


def follow(trace: Trace, images: Mapping[int, Axes]) -> list[Axes | None]:
    """Return the axes of every node; None for what was not made from the images.

    Args:
        trace: The run.
        images: The axes of the nodes at which images enter.
    """
    found: list[Axes | None] = []
    for number, node in enumerate(trace.nodes):
        given = images.get(number)
        if given is None and any(found[parent] is not None for parent in node.parents):
            step = _Step(node, found, images)
            axes = _RULES.get(node.operation.partition(" ")[0], _kept)(step)
            given = axes if len(axes) == len(node.shape) else others(node.shape)
        found.append(given)
    return found


@dataclass(frozen=True)
class _Step:
    """One operation: what it is given, and the shape of what it returns."""

    node: Node
    found: list[Axes | None]
    images: Mapping[int, Axes]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.node.shape

    def operand(self, place: int) -> Operand:
        """Return the tensor that is an argument."""
        value = self.argument(place)
        return value if isinstance(value, Operand) else Operand(-1, ())

    def argument(self, place: int, default: object = None) -> object:
        """Return an argument, or what it is if it is not given."""
        return self.node.arguments[place] if place < len(self.node.arguments) else default

    def number(self, place: int, default: int) -> int:
        """Return an argument that is a whole number."""
        value = self.argument(place)
        return value if isinstance(value, int) else default

    def numbers(self, place: int) -> list[int]:
        """Return an argument that is a list of whole numbers, or one of them."""
        value = self.argument(place, ())
        return [value] if isinstance(value, int) else [n for n in _items(value) if isinstance(n, int)]

    def axes(self, operand: Operand) -> Axes:
        """Return the axes of a tensor."""
        known = self.found[operand.node] if operand.node >= 0 else None
        return others(operand.shape) if known is None else known

    def is_of_images(self, axis: Axis) -> bool:
        """Return whether an axis counts the images, all of them."""
        return any(axis == axes[0] for axes in self.images.values())

    @property
    def rank(self) -> int:
        """How many axes a batch of images has."""
        return len(next(iter(self.images.values())))


def _items(value: object) -> Sequence[object]:
    return value if isinstance(value, tuple | list) else ()


def _kept(step: _Step) -> Axes:
    """Elementwise, broadcast: for each axis what the operands know of it. Else those whose sizes stay."""
    operands = [o for o in _operands(step.node.arguments) if o.node >= 0 and step.found[o.node] is not None]
    if not operands:
        return others(step.shape)
    if all(_broadcasts(o.shape, step.shape) for o in operands):
        return tuple(_known(step, operands, n) for n in range(-len(step.shape), 0))
    first = operands[0]
    axes = step.axes(first)
    if len(first.shape) == len(step.shape):
        pairs = zip(axes, first.shape, step.shape, strict=True)
        return tuple(axis if old == new else whole(OTHER, new) for axis, old, new in pairs)
    same = bool(step.shape) and bool(first.shape) and step.shape[0] == first.shape[0]
    return (axes[0], *others(step.shape[1:])) if same else others(step.shape)


def _operands(values: Sequence[object]) -> list[Operand]:
    found: list[Operand] = []
    for value in values:
        found += [value] if isinstance(value, Operand) else _operands(_items(value))
    return found


def _broadcasts(shape: Sequence[int], to: Sequence[int]) -> bool:
    pairs = zip(reversed(shape), reversed(to), strict=False)
    return len(shape) <= len(to) and all(a in (1, b) for a, b in pairs)


def _known(step: _Step, operands: Sequence[Operand], place: int) -> Axis:
    """Return what the operands know of an axis, counted from the last."""
    found = [
        step.axes(o)[place]
        for o in operands
        if len(o.shape) >= -place and o.shape[place] == step.shape[place]
    ]
    return max(found, key=_tracked_share, default=whole(OTHER, step.shape[place]))


def _tracked_share(axis: Axis) -> float:
    """Return which share of an axis, in factors of more than one, counts images or positions."""
    own = [factor for factor in axis if factor.size > 1] or axis
    return sum(factor.is_tracked for factor in own) / len(own) if own else 0.0


def _regrouped(step: _Step) -> Axes:
    return regrouped(step.axes(step.operand(0)), step.shape)


def _permuted(step: _Step) -> Axes:
    axes = step.axes(step.operand(0))
    return tuple(axes[n] for n in step.numbers(1))


def _transposed(step: _Step) -> Axes:
    axes = list(step.axes(step.operand(0)))
    if len(axes) > 1:
        first, second = step.number(1, 0), step.number(2, 1)
        axes[first], axes[second] = axes[second], axes[first]
    return tuple(axes)


def _sliced(step: _Step) -> Axes:
    x, dim = step.operand(0), step.number(1, 0)
    start = _from_front(step.number(2, 0), x.shape[dim])
    axes = list(step.axes(x))
    axes[dim] = cut(axes[dim], x.shape[dim], start, step.shape[dim], step.number(4, 1))
    return tuple(axes)


def _from_front(place: int, size: int) -> int:
    return max(0, place + size) if place < 0 else min(place, size)


def _split(step: _Step) -> Axes:
    x, dim, place = step.operand(0), step.number(2, 0), step.node.place
    sizes = step.argument(1)
    start = place * sizes if isinstance(sizes, int) else sum(step.numbers(1)[:place])
    axes = list(step.axes(x))
    axes[dim] = cut(axes[dim], x.shape[dim], start, step.shape[dim])
    return tuple(axes)


def _taken_out(step: _Step) -> Axes:
    """One place of an axis: the axis is gone."""
    return _without(step.axes(step.operand(0)), [step.number(1, 0)])


def _without(axes: Axes, dims: Sequence[int]) -> Axes:
    gone = {dim % len(axes) for dim in dims} if axes else set()
    return tuple(axis for n, axis in enumerate(axes) if n not in gone)


def _reduced(step: _Step) -> Axes:
    """Means, sums and the like over some axes, which go or stay with one place."""
    x = step.operand(0)
    axes, dims = step.axes(x), step.numbers(_DIMS.get(step.node.operation, 1))
    if len(x.shape) == len(step.shape):
        gone = {dim % len(axes) for dim in dims} if axes else set[int]()
        sizes = zip(axes, x.shape, step.shape, strict=True)
        return tuple(axis if old == new and n not in gone else () for n, (axis, old, new) in enumerate(sizes))
    return _without(axes, dims)


def _joined(step: _Step) -> Axes:
    parts = [part for part in _operands(step.node.arguments[:1]) if len(part.shape) == len(step.shape)]
    dim = step.number(1, 0) % len(step.shape)
    known = [part for part in parts if part.node >= 0 and step.found[part.node] is not None]
    axes = [_known(step, known, n - len(step.shape)) for n in range(len(step.shape))]
    axes[dim] = put_together([step.axes(part)[dim] for part in parts], [part.shape[dim] for part in parts])
    return tuple(axes)


def _stacked(step: _Step) -> Axes:
    axes = list(step.axes(_operands(step.node.arguments[:1])[0]))
    dim = step.number(1, 0) % len(step.shape)
    return (*axes[:dim], whole(OTHER, step.shape[dim]), *axes[dim:])


def _multiplied(step: _Step) -> Axes:
    """Matrices: the rows of the first, the columns of the second."""
    first, second = [o for o in _operands(step.node.arguments) if len(o.shape) == len(step.shape)][-2:]
    known = [o for o in (first, second) if o.node >= 0 and step.found[o.node] is not None]
    batch = tuple(_known(step, known, n) for n in range(-len(step.shape), -2))
    return (*batch, step.axes(first)[-2], step.axes(second)[-1])


def _attended(step: _Step) -> Axes:
    """Attention: the places of the query, the channels of the value."""
    if step.node.place:
        return others(step.shape)
    return (*step.axes(step.operand(0))[:-1], step.axes(step.operand(2))[-1])


def _spatial(step: _Step) -> Axes:
    """Convolutions, pooling, scaling: they declare channels first, and rows and columns behind."""
    x = step.operand(0)
    axes = step.axes(x)
    if len(axes) != len(step.shape):
        return others(step.shape)
    declares = step.is_of_images(axes[0]) and len(axes) == step.rank
    places = [
        whole(n - 2, after)
        if declares and not is_tracked(axis) and (before, after) != (1, 1)
        else resized(axis, before, after)
        for n, (axis, before, after) in enumerate(zip(axes, x.shape, step.shape, strict=True))
    ]
    return (axes[0], _channels(step, x, axes[1]), *places[2:])


def _pooled(step: _Step) -> Axes:
    """Pooling to a given size: to 1, and rows or columns are gone."""
    scaled = _spatial(step)
    return tuple(() if n > 1 and size == 1 else scaled[n] for n, size in enumerate(step.shape))


def _channels(step: _Step, x: Operand, axis: Axis) -> Axis:
    """Return the channels that come out; groups of a convolution stay apart, so that images in them do."""
    count = step.shape[1]
    if step.node.operation != "convolution":
        return axis if x.shape[1] == count else whole(OTHER, count)
    groups, kept = step.number(8, 1), list[Factor]()
    for factor in axis:
        if groups % factor.size or not factor.is_tracked:
            break
        groups //= factor.size
        count //= factor.size
        kept.append(factor)
    return merged([*kept, *whole(OTHER, count)])


def _padded(step: _Step) -> Axes:
    x = step.operand(0)
    return tuple(map(resized, step.axes(x), x.shape, step.shape))


def _patches(step: _Step) -> Axes:
    """Patches (B, C * kernel, places) of a map: as many places as a convolution would make."""
    x = step.operand(0)
    axes = step.axes(x)
    settings = [step.numbers(n) * (1 if len(step.numbers(n)) > 1 else 2) for n in range(1, 5)]
    sizes = [
        (x.shape[2 + n] + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        for n, (kernel, dilation, padding, stride) in enumerate(zip(*settings, strict=True))
    ]
    places = merged([f for n, size in enumerate(sizes) for f in whole(counts(axes[2 + n]), size)])
    return (axes[0], whole(OTHER, step.shape[1]), places)


def _indexed(step: _Step) -> Axes:
    """Places picked by a tensor: their axis is another then."""
    axes, picked = list(step.axes(step.operand(0))), _items(step.argument(1))
    if len(axes) != len(step.shape):
        kept = picked and not isinstance(picked[0], Operand)
        return (axes[0], *others(step.shape[1:])) if kept else others(step.shape)
    for n, index in enumerate(picked):
        if isinstance(index, Operand):
            axes[n] = whole(OTHER, step.shape[n])
    return tuple(axes)


def _picked(step: _Step) -> Axes:
    """Places picked or sorted along one axis."""
    axes = list(step.axes(step.operand(0)))
    if len(axes) == len(step.shape):
        dim = step.number(1, -1)
        axes[dim] = whole(OTHER, step.shape[dim])
        return tuple(axes)
    return others(step.shape)


def _windows(step: _Step) -> Axes:
    """Windows along one axis, in a new last axis; those that do not overlap are digits of the axis."""
    x, dim, size, stride = step.operand(0), step.number(1, 0), step.number(2, 1), step.number(3, 1)
    axes = list(step.axes(x))
    inner = whole(OTHER, size)
    if size == stride and x.shape[dim] % size == 0:
        axes[dim], inner = regrouped((axes[dim],), (x.shape[dim] // size, size))
    else:
        axes[dim] = whole(OTHER, step.shape[dim])
    return (*axes, inner)


def _each(rule: Callable[[_Step], Axes], *names: str) -> dict[str, Callable[[_Step], Axes]]:
    return dict.fromkeys(names, rule)


_DIMS = {"linalg_vector_norm": 2, "norm": 2}
_RULES: dict[str, Callable[[_Step], Axes]] = {
    **_each(_regrouped, "view", "_unsafe_view", "reshape", "_reshape_alias", "squeeze", "unsqueeze"),
    **_each(_permuted, "permute"),
    **_each(_transposed, "transpose", "t", "swapaxes"),
    **_each(_sliced, "slice"),
    **_each(_split, "split", "split_with_sizes"),
    **_each(_taken_out, "select", "unbind"),
    **_each(_reduced, "mean", "sum", "amax", "amin", "max", "min", "var", "std", "prod", "logsumexp"),
    **_each(_reduced, *_DIMS, "all", "any", "argmax", "argmin"),
    **_each(_joined, "cat"),
    **_each(_stacked, "stack"),
    **_each(_multiplied, "mm", "addmm", "bmm", "baddbmm"),
    **_each(_attended, "_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention"),
    **_each(_attended, "_scaled_dot_product_efficient_attention", "_scaled_dot_product_cudnn_attention"),
    **_each(_attended, "_scaled_dot_product_attention_math", "scaled_dot_product_attention"),
    **_each(_spatial, "convolution", "_convolution", "convolution_overrideable", "deform_conv2d"),
    **_each(_spatial, "avg_pool1d", "avg_pool2d", "avg_pool3d"),
    **_each(_pooled, "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_avg_pool1d"),
    **_each(_pooled, "adaptive_max_pool2d", "adaptive_max_pool3d"),
    **_each(_spatial, "max_pool2d_with_indices", "max_pool3d_with_indices", "fractional_max_pool2d"),
    **_each(_spatial, "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "upsample_linear1d"),
    **_each(_spatial, "upsample_bilinear2d", "upsample_bicubic2d", "upsample_trilinear3d"),
    **_each(_spatial, "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "_upsample_nearest_exact2d"),
    **_each(_padded, "constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d"),
    **_each(_padded, "replication_pad1d", "replication_pad2d", "replication_pad3d"),
    **_each(_spatial, "pixel_shuffle", "pixel_unshuffle", "grid_sampler_2d", "grid_sampler_3d"),
    **_each(_patches, "im2col"),
    **_each(_indexed, "index"),
    **_each(_picked, "index_select", "gather", "sort"),
    **_each(_windows, "unfold"),
}
