"""The places that only a dense model has: the bottleneck behind its encoder, and its map of scores."""

from __future__ import annotations

from foveate.insert.find.flow import Flow, Place
from foveate.insert.find.probe import Call
from foveate.insert.find.resolution_stages import find_stages
from foveate.insert.find.trace import JOIN, PRODUCT, SUM


def find_bottleneck(flow: Flow) -> list[Place]:
    """Return the spatial pooling layer of a dense model, or the deepest map between encoder and decoder.

    The layer takes the deepest map and nothing else, looks at it in several ways and puts these together,
    as ASPP, pyramid pooling and attention do; nothing else takes that map.
    """
    stages = find_stages(flow)
    if not flow.is_dense or not stages:
        return []
    deepest, score = stages[-1], score_node(flow)
    while True:
        takers = [
            c for c in flow.hosts if c.started > deepest.ended and flow.lineage.is_used(deepest.left, c)
        ]
        following = [c for c in takers if c.left != score and _follows(flow, c, deepest)]
        pooling = next((c for c in following if _puts_together(flow, c)), None)
        if pooling is not None:
            return [flow.behind(pooling)]
        if not following or takers[0] is not following[0]:
            return [flow.behind(deepest)]
        deepest = takers[0]


def _follows(flow: Flow, call: Call, before: Call) -> bool:
    """Return whether a module alone takes a map, nothing else, and returns one of the same size."""
    return (
        flow.makes_map(call)
        and flow.has_to_itself(call, before.left)
        and set(call.arrived) == {before.left} != {call.left}
        and flow.positions(call) == flow.positions(before)
    )


def _puts_together(flow: Flow, call: Call) -> bool:
    """Return whether several things made of what went in are joined, summed or multiplied."""
    nodes = flow.notes.trace.nodes
    inside = [n for n, node in enumerate(nodes) if call.held(node.made)]
    own = {*inside, *call.arrived}
    return any(
        nodes[n].operation in (JOIN, SUM, PRODUCT) and len(own.intersection(nodes[n].parents)) > 1
        for n in inside
    )


def find_score_map(flow: Flow) -> list[Place]:
    """Return the module that makes the map of scores of a dense model, before it is scaled up."""
    if not flow.is_dense:
        return []
    score = score_node(flow)
    made = (c for c in flow.hosts if c.left == score and flow.makes_map(c))
    maker = next(made, None)
    return [flow.behind(maker)] if maker is not None else []


def score_node(flow: Flow) -> int:
    """Return the node of the scores as the last layer makes them: what follows keeps the number of classes.

    Resizing and activations are passed over.
    """
    if flow.result is None:
        return -1
    nodes, clock = flow.notes.trace.nodes, flow.notes.calls[""].ended
    node = flow.notes.trace.number(flow.result, clock)
    classes = flow.result.shape[1]
    while nodes[node].operation != "convolution" and len(nodes[node].parents) == 1:
        parent = nodes[node].parents[0]
        if not nodes[parent].is_map or nodes[parent].shape[1] != classes:
            break
        node = parent
    return node
