"""The places that only a dense model has: skip connections, the spatial pooling layer, the map of scores."""

from __future__ import annotations

import re

from foveate.insert.flow import Flow, Place
from foveate.insert.probe import Call
from foveate.insert.stages import find_stages

_POOLING = re.compile(r"aspp$|psp|ppm|spp|pyramid", re.IGNORECASE)


def find_skips(flow: Flow) -> list[Place]:
    """Return the second map that modules take, where an earlier and finer one meets a later one."""
    places = []
    for call in flow.trunk:
        if not call.path or not flow.once(call) or len(call.inputs) < 2:
            continue
        (first_name, _, first), (name, key, second) = call.inputs[:2]
        if name == first_name:
            continue  # a list of maps in one argument: which of them meets which is not to be seen from here
        layout = flow.maps.of(second, key, call.started)
        if first.ndim == second.ndim == 4 and layout is not None and _is_finer(first.shape, second.shape):
            places.append(Place(call.path, "before", layout, argument=name))
    return places


def find_bottleneck(flow: Flow) -> list[Place]:
    """Return the spatial pooling layer of a dense model, or its deepest map."""
    if not flow.is_dense:
        return []
    named = [c for c in flow.trunk if _POOLING.search(type(c.module).__name__) and _usable(flow, c)]
    named = [c for c in named if not any(other.holds(c) for other in named)]
    stages = find_stages(flow)
    deepest = named[-1] if named else stages[-1] if stages else None
    return [flow.behind(deepest)] if deepest is not None else []


def find_score_map(flow: Flow) -> list[Place]:
    """Return the module that makes the map of scores of a dense model, before it is scaled up."""
    if not flow.is_dense or flow.result is None:
        return []
    made = [c for c in flow.trunk if _usable(flow, c)]
    found = [c for c in made if c.output is flow.result]
    if not found:
        classes, start = flow.result.shape[1], flow.blocks[-1].ended if flow.blocks else 0
        found = [
            c for c in made if c.output is not None and c.output.shape[1] == classes and c.started > start
        ]
    found = [c for c in found if not any(other.holds(c) for other in found)]
    return [flow.behind(found[0])] if found else []


def _usable(flow: Flow, call: Call) -> bool:
    return flow.makes_map(call) and flow.once(call)


def _is_finer(coarse: tuple[int, ...], fine: tuple[int, ...]) -> bool:
    return fine[2] * fine[3] > coarse[2] * coarse[3]
