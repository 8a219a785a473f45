"""Follow the axes of the images through every operation of one run.

The images are known when they enter: (B, C, rows, columns). What an operation makes of each axis follows from
what it is given, so that a map is recognised again after it was cut into windows, laid out as tokens, put in
another order or scaled. An operation that is not known here keeps the axes whose sizes it keeps, and loses
the others; a sum with something known makes them known again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from foveate.insert.find.axes import (
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
from foveate.insert.find.axis_operation import Operation, elementwise, items_of, known_axis, operands_in
from foveate.insert.find.recorded_run import Operand, Trace


def follow_axes(trace: Trace, images: Mapping[int, Axes]) -> list[Axes | None]:
    """Return the axes of every node; None for what was not made from the images.

    Args:
        trace: The run.
        images: The axes of the nodes at which images enter.
    """
    found: list[Axes | None] = []
    for number, node in enumerate(trace.nodes):
        given = images.get(number)
        if given is None and any(found[parent] is not None for parent in node.parents):
            operation = Operation(node, found, images)
            axes = _RULES.get(node.operation.partition(" ")[0], elementwise)(operation)
            given = axes if len(axes) == len(node.shape) else others(node.shape)
        found.append(given)
    return found


def _regrouped(op: Operation) -> Axes:
    return regrouped(op.axes(op.operand(0)), op.shape)


def _permuted(op: Operation) -> Axes:
    axes = op.axes(op.operand(0))
    return tuple(axes[n] for n in op.numbers(1))


def _transposed(op: Operation) -> Axes:
    axes = list(op.axes(op.operand(0)))
    if len(axes) > 1:
        first, second = op.number(1, 0), op.number(2, 1)
        axes[first], axes[second] = axes[second], axes[first]
    return tuple(axes)


def _sliced(op: Operation) -> Axes:
    x, dim = op.operand(0), op.number(1, 0)
    start = _from_front(op.number(2, 0), x.shape[dim])
    axes = list(op.axes(x))
    axes[dim] = cut(axes[dim], x.shape[dim], start, op.shape[dim], op.number(4, 1))
    return tuple(axes)


def _from_front(place: int, size: int) -> int:
    return max(0, place + size) if place < 0 else min(place, size)


def _split(op: Operation) -> Axes:
    x, dim, place = op.operand(0), op.number(2, 0), op.node.result
    sizes = op.argument(1)
    start = place * sizes if isinstance(sizes, int) else sum(op.numbers(1)[:place])
    axes = list(op.axes(x))
    axes[dim] = cut(axes[dim], x.shape[dim], start, op.shape[dim])
    return tuple(axes)


def _taken_out(op: Operation) -> Axes:
    """One place of an axis: the axis is gone."""
    return _without(op.axes(op.operand(0)), [op.number(1, 0)])


def _without(axes: Axes, dims: Sequence[int]) -> Axes:
    gone = {dim % len(axes) for dim in dims} if axes else set()
    return tuple(axis for n, axis in enumerate(axes) if n not in gone)


def _reduced(op: Operation) -> Axes:
    """Means, sums and the like over some axes, which go or stay with one place."""
    x = op.operand(0)
    axes, dims = op.axes(x), op.numbers(_DIMS.get(op.node.operation, 1))
    if len(x.shape) == len(op.shape):
        gone = {dim % len(axes) for dim in dims} if axes else set[int]()
        sizes = zip(axes, x.shape, op.shape, strict=True)
        return tuple(axis if old == new and n not in gone else () for n, (axis, old, new) in enumerate(sizes))
    return _without(axes, dims)


def _joined(op: Operation) -> Axes:
    parts = [part for part in operands_in(op.node.arguments[:1]) if len(part.shape) == len(op.shape)]
    dim = op.number(1, 0) % len(op.shape)
    known = [part for part in parts if part.node >= 0 and op.found[part.node] is not None]
    axes = [known_axis(op, known, n - len(op.shape)) for n in range(len(op.shape))]
    axes[dim] = put_together([op.axes(part)[dim] for part in parts], [part.shape[dim] for part in parts])
    return tuple(axes)


def _stacked(op: Operation) -> Axes:
    axes = list(op.axes(operands_in(op.node.arguments[:1])[0]))
    dim = op.number(1, 0) % len(op.shape)
    return (*axes[:dim], whole(OTHER, op.shape[dim]), *axes[dim:])


def _multiplied(op: Operation) -> Axes:
    """Matrices: the rows of the first, the columns of the second."""
    first, second = [o for o in operands_in(op.node.arguments) if len(o.shape) == len(op.shape)][-2:]
    known = [o for o in (first, second) if o.node >= 0 and op.found[o.node] is not None]
    batch = tuple(known_axis(op, known, n) for n in range(-len(op.shape), -2))
    return (*batch, op.axes(first)[-2], op.axes(second)[-1])


def _attended(op: Operation) -> Axes:
    """Attention: the places of the query, the channels of the value."""
    if op.node.result:
        return others(op.shape)
    return (*op.axes(op.operand(0))[:-1], op.axes(op.operand(2))[-1])


def _spatial(op: Operation) -> Axes:
    """Convolutions, pooling, scaling: they declare channels first, and rows and columns behind."""
    x = op.operand(0)
    axes = op.axes(x)
    if len(axes) != len(op.shape):
        return others(op.shape)
    declares = op.is_of_images(axes[0]) and len(axes) == op.rank
    places = [
        whole(n - 2, after)
        if declares and not is_tracked(axis) and (before, after) != (1, 1)
        else resized(axis, before, after)
        for n, (axis, before, after) in enumerate(zip(axes, x.shape, op.shape, strict=True))
    ]
    return (axes[0], _channels(op, x, axes[1]), *places[2:])


def _pooled(op: Operation) -> Axes:
    """Pooling to a given size: to 1, and rows or columns are gone."""
    scaled = _spatial(op)
    return tuple(() if n > 1 and size == 1 else scaled[n] for n, size in enumerate(op.shape))


def _channels(op: Operation, x: Operand, axis: Axis) -> Axis:
    """Return the channels that come out; groups of a convolution stay apart, so that images in them do."""
    count = op.shape[1]
    if op.node.operation != "convolution":
        return axis if x.shape[1] == count else whole(OTHER, count)
    groups, kept = op.number(8, 1), list[Factor]()
    for factor in axis:
        if groups % factor.size or not factor.is_tracked:
            break
        groups //= factor.size
        count //= factor.size
        kept.append(factor)
    return merged([*kept, *whole(OTHER, count)])


def _padded(op: Operation) -> Axes:
    x = op.operand(0)
    return tuple(map(resized, op.axes(x), x.shape, op.shape))


def _patches(op: Operation) -> Axes:
    """Patches (B, C * kernel, places) of a map: with the number of places that a convolution would make."""
    x = op.operand(0)
    axes = op.axes(x)
    settings = [op.numbers(n) * (1 if len(op.numbers(n)) > 1 else 2) for n in range(1, 5)]
    sizes = [
        (x.shape[2 + n] + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        for n, (kernel, dilation, padding, stride) in enumerate(zip(*settings, strict=True))
    ]
    places = merged([f for n, size in enumerate(sizes) for f in whole(counts(axes[2 + n]), size)])
    return (axes[0], whole(OTHER, op.shape[1]), places)


def _indexed(op: Operation) -> Axes:
    """Places picked by a tensor: their axis is another then."""
    axes, picked = list(op.axes(op.operand(0))), items_of(op.argument(1))
    if len(axes) != len(op.shape):
        kept = picked and not isinstance(picked[0], Operand)
        return (axes[0], *others(op.shape[1:])) if kept else others(op.shape)
    for n, index in enumerate(picked):
        if isinstance(index, Operand):
            axes[n] = whole(OTHER, op.shape[n])
    return tuple(axes)


def _picked(op: Operation) -> Axes:
    """Places picked or sorted along one axis."""
    axes = list(op.axes(op.operand(0)))
    if len(axes) == len(op.shape):
        dim = op.number(1, -1)
        axes[dim] = whole(OTHER, op.shape[dim])
        return tuple(axes)
    return others(op.shape)


def _windows(op: Operation) -> Axes:
    """Windows along one axis, in a new last axis; those that do not overlap are digits of the axis."""
    x, dim, size, stride = op.operand(0), op.number(1, 0), op.number(2, 1), op.number(3, 1)
    axes = list(op.axes(x))
    inner = whole(OTHER, size)
    if size == stride and x.shape[dim] % size == 0:
        axes[dim], inner = regrouped((axes[dim],), (x.shape[dim] // size, size))
    else:
        axes[dim] = whole(OTHER, op.shape[dim])
    return (*axes, inner)


def _each(rule: Callable[[Operation], Axes], *names: str) -> dict[str, Callable[[Operation], Axes]]:
    return dict.fromkeys(names, rule)


_DIMS = {"linalg_vector_norm": 2, "norm": 2}
_RULES: dict[str, Callable[[Operation], Axes]] = {
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
