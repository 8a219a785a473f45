"""The ends of a classifier: where the image enters, and where its map becomes a vector and scores."""

from __future__ import annotations

import math

from torch import nn

from foveate.insert.find.flow import Flow, Place
from foveate.insert.find.recorded_run import SUMMARIES, Call
from foveate.insert.layout import Layout


def find_input(flow: Flow) -> list[Place]:
    """Return the innermost module through which alone the image enters."""
    started = sorted(flow.calls, key=lambda call: call.started)
    inside = next((c for c in started if c.inputs and c.inputs[0][2].ndim == 2 + flow.maps.rank), None)
    if inside is None:
        return []
    while True:
        image = inside.input_nodes[0]
        takers = [c for c in flow.children(inside) if flow.is_only_user(c, image)]
        if not takers or takers[0].input_nodes[0] != image or not flow.runs_once(takers[0]):
            break
        inside = takers[0]
    layout = flow.maps.input(inside)
    return [Place(inside.path, "before", layout)] if layout is not None else []


def find_pool(flow: Flow) -> list[Place]:
    """Return the map before global pooling and the vector behind it, of a classifier."""
    if not flow.classifies:
        return []
    module = _pooling(flow)
    layout = flow.maps.input(module) if module is not None else None
    if module is None or layout is None:
        return _pooled_by_function(flow)
    source = (module.path, "before")
    vector = Place(module.path, "after", layout, role="pool", source=source)
    return [Place(module.path, "before", layout), vector]


def find_scores(flow: Flow) -> list[Place]:
    """Return the module that makes a classifier's logits, with the map before pooling as its source."""
    head, before = head_of(flow), map_before_pooling(flow)
    if head is None or before is None or flow.result is None:
        return []
    layout, source = before
    return [Place(head.path, "after", layout, role="scores", source=source, classes=flow.result.shape[1])]


def head_of(flow: Flow) -> Call | None:
    """Return the outermost module that makes the logits, or the last linear layer before them."""
    made = [c for c in flow.trunk if c.path and flow.runs_once(c)]
    logits = set[int]() if flow.result is None else _reshaped_from(flow, flow.run.calls[""].output_node)
    exact = [c for c in made if c.output_node in logits]
    shape = None if flow.result is None else flow.result.shape
    linear = [
        c
        for c in made
        if isinstance(c.module, nn.Linear) and c.output is not None and c.output.shape == shape
    ]
    return min(exact, key=lambda c: c.started) if exact else linear[-1] if linear else None


def _reshaped_from(flow: Flow, node: int) -> set[int]:
    """Return a node and what it was before it was reshaped."""
    nodes, found = flow.nodes, {node}
    while nodes[node].operation in _RESHAPES and len(nodes[node].parents) == 1:
        node = nodes[node].parents[0]
        found.add(node)
    return found


def map_before_pooling(flow: Flow) -> tuple[Layout, tuple[str, str]] | None:
    """Return the layout of the map before pooling, and where it flows."""
    for place in find_pool(flow):
        if place.role == "map":
            return place.layout, (place.path, place.where)
    last = flow.last_map()
    layout = flow.maps.output(last) if last is not None else None
    return (layout, (last.path, "after")) if last is not None and layout is not None else None


def _pooling(flow: Flow) -> Call | None:
    """Return the innermost module that turns the last map into one vector."""
    found = [c for c in flow.trunk if c.path and _pools(flow, c)]
    inner = [c for c in found if not any(c.contains(other) for other in found)]
    return inner[-1] if inner else None


def _pools(flow: Flow, call: Call) -> bool:
    layout = flow.maps.input(call)
    if layout is None or call.output is None or not flow.runs_once(call):
        return False
    shape = tuple(call.output.shape)
    vector = shape[0] == flow.maps.batch and math.prod(shape[1:]) == layout.channels in shape[1:]
    if not vector or flow.maps.has_positions(call.output_node):
        return False
    return _reads_positions(flow, call) and (
        layout.positions > 1 or "pool" in type(call.module).__name__.lower()
    )


def _reads_positions(flow: Flow, call: Call) -> bool:
    """Return whether a module looks at more than the class token of what it takes."""
    uses = [use for use in flow.uses[call.input_nodes[0]] if call.was_running(flow.nodes[use].time)]
    picked = [use for use in uses if flow.nodes[use].operation in ("select", "slice")]
    return any(use not in picked or flow.maps.has_positions(use) for use in uses)


def _pooled_by_function(flow: Flow) -> list[Place]:
    """Return the last map that a module makes, and the layer that takes the vector made of it."""
    last = flow.last_map()
    layout = flow.maps.output(last) if last is not None else None
    used = flow.lineage.ancestors(flow.run.calls[""].output_node)
    if last is None or layout is None or last.output_node not in used:
        return []
    vectors = _means(flow, last.output_node)
    if not vectors and layout.kind not in ("map", "grid"):
        return []  # only its class token goes on
    places = [Place(last.path, "after", layout)]
    later = [c for c in flow.trunk if c.started > last.ended and c.inputs]
    takes = (c for c in later if c.input_nodes[0] in vectors and _is_vector(c, layout))
    linear = (c for c in later if isinstance(c.module, nn.Linear) and _is_vector(c, layout))
    taker = next(takes, None) or next(linear, None)
    if taker is not None and flow.runs_once(taker):
        places.append(Place(taker.path, "before", layout, role="pool", source=(last.path, "after")))
    return places


def _is_vector(call: Call, layout: Layout) -> bool:
    return call.inputs[0][2].shape[1:] == (layout.channels,)


def _means(flow: Flow, node: int) -> set[int]:
    """Return the vectors that are made of a map by taking its mean, or maximum, over all positions."""
    maps = _followed(flow, {node}, _PASSING, positions=True)
    means = {use for carried in maps for use in flow.uses[carried]}
    means = {use for use in means if flow.nodes[use].operation in SUMMARIES}
    return _followed(flow, {n for n in means if not flow.maps.has_positions(n)}, _RESHAPES, positions=False)


def _followed(flow: Flow, found: set[int], operations: set[str], positions: bool) -> set[int]:
    """Return nodes and all that some operations make of them, with positions or without."""
    ahead, found = list(found), set(found)
    while ahead:
        for use in flow.uses[ahead.pop()]:
            kept = flow.maps.has_positions(use) == positions
            if use not in found and kept and flow.nodes[use].operation in operations:
                found.add(use)
                ahead.append(use)
    return found


_RESHAPES = {"view", "_unsafe_view", "squeeze", "flatten", "alias"}
_PASSING = {*_RESHAPES, "slice", "transpose", "permute", "clone", "relu", "native_layer_norm"}
