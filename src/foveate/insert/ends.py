"""The two ends of a model: where the image enters, and where its map becomes a vector and scores."""

from __future__ import annotations

from torch import nn

from foveate.insert.flow import Flow, Place
from foveate.insert.layout import Layout
from foveate.insert.probe import Call


def find_input(flow: Flow) -> list[Place]:
    """Return the innermost module through which alone the image enters."""
    started = sorted(flow.calls, key=lambda call: call.started)
    inside = next((c for c in started if c.inputs and c.inputs[0][2].ndim == 2 + flow.maps.rank), None)
    if inside is None:
        return []
    while True:
        image = inside.arrived[0]
        takers = [c for c in flow.inside(inside) if flow.has_to_itself(c, image)]
        if not takers or takers[0].arrived[0] != image or not flow.once(takers[0]):
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
    made = [c for c in flow.trunk if c.path and flow.once(c)]
    exact = [c for c in made if c.output is not None and c.output is flow.result]
    linear = [c for c in made if isinstance(c.module, nn.Linear)]
    return min(exact, key=lambda c: c.started) if exact else linear[-1] if linear else None


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
    inner = [c for c in found if not any(c.holds(other) for other in found)]
    return inner[-1] if inner else None


def _pools(flow: Flow, call: Call) -> bool:
    layout = flow.maps.input(call)
    if layout is None or layout.kind == "tokens" or call.output is None or not flow.once(call):
        return False
    shape = tuple(call.output.shape)
    column = (
        len(shape) == 2 + layout.dims and layout.channels in shape[1:] and sum(n != 1 for n in shape[1:]) <= 1
    )
    if not column and shape != (flow.maps.batch, layout.channels):
        return False
    return layout.positions > 1 or "pool" in type(call.module).__name__.lower()


def _pooled_by_function(flow: Flow) -> list[Place]:
    """Return the last map that a module makes, and the linear layer that takes the vector made of it."""
    last = flow.last_map()
    layout = flow.maps.output(last) if last is not None else None
    if last is None or layout is None or layout.kind == "tokens":
        return []
    places = [Place(last.path, "after", layout)]
    later = (c for c in flow.trunk if c.started > last.ended and isinstance(c.module, nn.Linear))
    taker = next(later, None)
    if taker is not None and flow.once(taker) and taker.inputs[0][2].shape[1:] == (layout.channels,):
        places.append(Place(taker.path, "before", layout, role="pool", source=(last.path, "after")))
    return places
