"""The stem, and the stages: the last map of each resolution, as blocks or layers make them."""

from __future__ import annotations

from torch import nn

from foveate.insert.find.flow import Flow, Place
from foveate.insert.find.recorded_run import Call
from foveate.mechanisms.ranks import CONVOLUTIONS


def find_stem(flow: Flow) -> list[Place]:
    """Return the last map before the first block or stage, or what the first layer makes."""
    layers = [c for c in flow.trunk if flow.makes_map(c) and flow.runs_once(c)]
    begun = [call.started for call in (*flow.every_block, *_stages_without_blocks(flow))]
    if begun:
        layers = [c for c in layers if c.ended < min(begun)]
    if not layers:
        return []
    last = max(layers, key=lambda c: c.ended) if begun else layers[0]
    first = next(
        c for c in layers if c.output_key == last.output_key
    )  # before layers that pass it on unchanged
    return [flow.place_after(flow.outermost_with_output_of(first))]


def find_stages(flow: Flow) -> list[Call]:
    """Return the module at the end of each stage, down to the lowest resolution of the encoder."""
    groups: list[list[Call]] = []
    for step in _steps(flow):
        size = flow.positions(step)
        last = groups[-1][-1] if groups else step
        if size > flow.positions(last):
            break  # a decoder begins
        if not groups or size < flow.positions(last) or _widens(flow, last, step):
            groups.append([])
        groups[-1].append(step)
    if not flow.blocks:
        groups = [_up_to_bottleneck(flow, group) for group in groups]
    ends = [_end(flow, group) for group in groups]
    return [end for end in ends if flow.runs_once(end)]


def _steps(flow: Flow) -> list[Call]:
    """Return the blocks, or layers, that the deepest map is made through, in the order in which they ran.

    Others are on a branch that meets the trunk later, and may be at any resolution.
    """
    if flow.blocks:
        steps = sorted((*flow.blocks, *_stages_without_blocks(flow)), key=lambda c: c.started)
    else:
        steps = [c for c in flow.hosts if flow.is_leaf(c) and flow.maps.has_positions(c.output_node)]
    steps = [s for s in steps if flow.makes_map(s) and _is_encoder(flow, s)]
    if not steps:
        return []
    deepest = min(reversed(steps), key=flow.positions)
    trunk = flow.lineage.ancestors(deepest.output_node)
    return [step for step in steps if step.output_node in trunk]


def _stages_without_blocks(flow: Flow) -> list[Call]:
    """Return modules in one row with those that hold blocks, which hold none themselves.

    Such as the first stages of MobileNetV4, which are plain convolutions. What takes the images is the stem,
    not a stage.
    """
    calls = flow.run.calls
    holders = [calls[block.parent] for block in flow.blocks if block.parent in calls]
    alike = {_row_of(c) for c in holders if c.numberless_path != c.path}
    beside = [c for c in flow.hosts if _row_of(c) in alike and flow.makes_map(c)]
    first = min((c.ended for c in flow.hosts if flow.makes_map(c)), default=0)
    later = [c for c in beside if c.started > first]
    return [c for c in later if not any(c.contains(block) for block in flow.every_block)]


def _row_of(call: Call) -> tuple[str, type[nn.Module]]:
    """Return what modules of one row and one class have in common."""
    return call.numberless_path, type(call.module)


def _is_encoder(flow: Flow, step: Call) -> bool:
    """Return whether a map was never coarser than it is, and no decoder made it."""
    past = flow.lineage
    return not past.decoded[step.output_node] and past.coarsest[step.output_node] >= flow.positions(step)


def _up_to_bottleneck(flow: Flow, group: list[Call]) -> list[Call]:
    """Return the layers of a stage up to the last one that all paths from earlier ones go through."""
    while len(group) > 1:
        last = group[-1]
        before = {step.output_node for step in group[:-1]} - {last.output_node}
        if last.output_node not in last.input_nodes and not before & _inputs_around(flow, last.output_node):
            break
        group = group[:-1]
    return group


def _inputs_around(flow: Flow, node: int) -> set[int]:
    """Return what the result is made from on other paths than through ``node``."""
    nodes, found = flow.nodes, set[int]()
    ahead = [] if flow.result is None else [flow.run.trace.node_of(flow.result)]
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
    if before is None or now is None or now.channels < 2 * before.channels:
        return False
    inside = [c.module for c in flow.calls if c.path.startswith(f"{step.parent}.")]
    return any(max(module.dilation) > 1 for module in inside if isinstance(module, CONVOLUTIONS))


def _end(flow: Flow, group: list[Call]) -> Call:
    """Return the outermost module that holds blocks of this stage alone and ends with its last map.

    One of several in a row may change the width at its end, as where a stage joins two branches.
    """
    end = group[-1]
    others = [b for b in flow.every_block if b not in group]
    alike = {_row_of(c) for other in others for c in flow.run.ancestors(other.path)}
    for around in flow.run.ancestors(end.path):
        wider = _row_of(around) in alike and flow.positions(around) == flow.positions(end)
        same = flow.maps.output(around) == flow.maps.output(end)
        if not (same or wider) or not flow.runs_once(around):
            break
        if any(around.contains(other) for other in others):
            break
        if len(around.output_nodes) > 1 or flow.lineage.decoded[around.output_node]:
            break
        end = around
    return end
