"""The places that only a dense model has: the bottleneck behind its encoder, and its map of scores."""

from __future__ import annotations

from foveate.insert.find.flow import Flow, Place
from foveate.insert.find.recorded_run import JOIN, PRODUCT, SUM, Call


def find_bottleneck(flow: Flow, stages: list[Call]) -> list[Place]:
    """Return the spatial pooling layer of a dense model, or the deepest map between encoder and decoder.

    The layer takes the deepest map and nothing else, looks at it in several ways and puts these together,
    as ASPP, pyramid pooling and attention do; nothing else takes that map.

    Args:
        flow: The run.
        stages: What ends each stage.
    """
    if not flow.is_dense or not stages:
        return []
    deepest, score = stages[-1], score_node(flow)
    while True:
        takers = [
            c for c in flow.hosts if c.started > deepest.ended and flow.run.is_used_in(deepest.output_node, c)
        ]
        following = [c for c in takers if c.output_node != score and _follows(flow, c, deepest)]
        pooling = next((c for c in following if _merges_several(flow, c)), None)
        if pooling is not None:
            return [flow.place_after(pooling)]
        if not following or takers[0] is not following[0]:
            return [flow.place_after(deepest)]
        deepest = takers[0]


def _follows(flow: Flow, call: Call, before: Call) -> bool:
    """Return whether a module alone takes a map, nothing else, and returns one of the same size."""
    return (
        flow.makes_map(call)
        and flow.is_only_user(call, before.output_node)
        and set(call.input_nodes) == {before.output_node} != {call.output_node}
        and flow.positions(call) == flow.positions(before)
    )


def _merges_several(flow: Flow, call: Call) -> bool:
    """Return whether several things made of what went in are joined, summed or multiplied."""
    nodes = flow.nodes
    inside = [n for n, node in enumerate(nodes) if call.was_running(node.time)]
    own = {*inside, *call.input_nodes}
    return any(
        nodes[n].operation in (JOIN, SUM, PRODUCT) and len(own.intersection(nodes[n].parents)) > 1
        for n in inside
    )


def find_score_map(flow: Flow) -> list[Place]:
    """Return the module that makes the map of scores of a dense model, before it is scaled up."""
    if not flow.is_dense:
        return []
    maker = flow.host_that_makes(score_node(flow))
    return [flow.place_after(maker)] if maker is not None else []


def score_node(flow: Flow) -> int:
    """Return the node of the scores as the last layer makes them: what follows keeps the number of classes.

    Resizing and activations are passed over.
    """
    if flow.result is None:
        return -1
    nodes = flow.nodes
    node = flow.run.trace.node_of(flow.result)
    classes = flow.result.shape[1]
    while nodes[node].operation != "convolution" and len(nodes[node].parents) == 1:
        parent = nodes[node].parents[0]
        if not nodes[parent].is_map or nodes[parent].shape[1] != classes:
            break
        node = parent
    return node
