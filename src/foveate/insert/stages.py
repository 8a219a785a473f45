"""The stem, and the stages: blocks at one resolution."""

from __future__ import annotations

from foveate.insert.flow import Flow, Place
from foveate.insert.probe import Call


def find_stem(flow: Flow) -> list[Place]:
    """Return the last map before the first block, or what the first layer makes."""
    layers = [c for c in flow.trunk if flow.makes_map(c)]
    if flow.every_block:
        layers = [c for c in layers if c.ended < flow.every_block[0].started]
    if not layers:
        return []
    last = max(layers, key=lambda c: c.ended) if flow.every_block else layers[0]
    first = next(
        c for c in layers if c.output_key == last.output_key
    )  # before layers that pass it on untouched
    return [flow.behind(flow.outer(first))]


def find_stages(flow: Flow) -> list[Call]:
    """Return the module at the end of each stage, down to the lowest resolution."""
    steps = flow.blocks or [c for c in flow.hosts if flow.is_leaf(c)]
    groups: list[list[Call]] = []
    for step in (s for s in steps if flow.makes_map(s) and _is_encoder(flow, s)):
        size = flow.positions(step)
        last = groups[-1][-1] if groups else step
        if size > flow.positions(last):
            break  # a decoder begins
        if not groups or size < flow.positions(last) or _widens(flow, last, step):
            groups.append([])
        groups[-1].append(step)
    if not flow.blocks:
        groups = [_trimmed(flow, group) for group in groups]
    ends = [_end(flow, group) for group in groups]
    return [end for end in ends if flow.once(end)]


def _is_encoder(flow: Flow, step: Call) -> bool:
    """Return whether a map was never coarser than it is, and is none that a decoder put together."""
    past = flow.lineage
    return not past.decoded[step.left] and past.coarsest[step.left] >= flow.positions(step)


def _trimmed(flow: Flow, group: list[Call]) -> list[Call]:
    """Return the layers of a stage up to that through which alone the result sees those before it."""
    while len(group) > 1:
        last, before = group[-1], {step.left for step in group[:-1]}
        if last.left not in last.arrived and not (before - {last.left}) & _seen_around(flow, last.left):
            break
        group = group[:-1]
    return group


def _seen_around(flow: Flow, node: int) -> set[int]:
    """Return what the result is made from by other ways than through ``node``."""
    nodes, found = flow.lineage.nodes, set[int]()
    ahead = [] if flow.result is None else [flow.notes.trace.number(flow.result, 0)]
    while ahead:
        number = ahead.pop()
        if number != node and number not in found:
            found.add(number)
            ahead.extend(nodes[number].parents)
    return found


def _widens(flow: Flow, last: Call, step: Call) -> bool:
    """Return whether a stage begins without a change of resolution, as in networks with dilation."""
    if not flow.blocks or last.parent == step.parent:
        return False
    before, now = flow.maps.output(last), flow.maps.output(step)
    return before is not None and now is not None and now.channels >= 2 * before.channels


def _end(flow: Flow, group: list[Call]) -> Call:
    """Return the outermost module that holds blocks of this stage alone and ends with its last map."""
    end = group[-1]
    others = [b for b in flow.every_block if b not in group]
    for around in flow.notes.ancestors(end.path):
        same = flow.maps.output(around) == flow.maps.output(end)
        if not same or not flow.once(around) or any(around.holds(other) for other in others):
            break
        if around.returns > 1 or flow.lineage.decoded[around.left]:
            break
        end = around
    return end
