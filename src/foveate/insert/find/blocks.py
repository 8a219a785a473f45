"""Which modules of a model are its residual or transformer blocks, judged by what they do, not by names.

A block adds its input, or something of its output's shape, to what it computed, in its own ``forward``; and
its class occurs more than once. Networks that join instead of adding (DenseNet, Inception) repeat a class
that joins. A module that takes a map of an encoder and a deeper one belongs to a decoder and is not a block;
nor is a module that holds others of its own class, as in a U-Net written from the outermost size inwards.
"""

from __future__ import annotations

from collections import Counter

from torch import nn

from foveate.insert.find.flow import Lineage, Maps
from foveate.insert.find.recorded_run import Call, Run
from foveate.mechanisms.ranks import CONVOLUTIONS

PLAIN = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_WEIGHTS = (*CONVOLUTIONS, nn.Linear)


def find_blocks(run: Run, maps: Maps, lineage: Lineage) -> list[Call]:
    """Return the outermost blocks in the order in which they ran.

    Args:
        run: The run.
        maps: The layouts of its tensors.
        lineage: The past of its tensors, as it is without any blocks.
    """
    calls = [c for c in run.calls.values() if c.path and _returns_one_map(c, maps)]
    nesting = _nesting(calls)
    calls = [c for c in calls if c.path not in nesting]
    decoding = [c for c in calls if _decodes(c, run, maps, lineage)]
    calls = [c for c in calls if c not in decoding]
    kinds = Counter(type(call.module) for call in calls)
    adding = {type(c.module) for c in calls if _adds(c, maps)}
    repeated = [c for c in calls if type(c.module) in adding and kinds[type(c.module)] > 1]
    repeated = _outermost([*repeated, *_folding(repeated, calls, run, maps)])
    single = [
        c
        for c in calls
        if type(c.module) in adding and kinds[type(c.module)] == 1 and _is_lone_block(c, repeated, maps)
    ]
    found = _outermost([*repeated, *single])
    alike = {type(block.module) for block in found}
    beside = [c for c in decoding if type(c.module) in alike]  # those that take a coarser map as well
    found = _outermost([*found, *_in_one_row(found, [*calls, *beside])])
    if not found:
        joining = {type(c.module) for c in calls if c.joins}
        found = _outermost([c for c in calls if type(c.module) in joining and kinds[type(c.module)] > 1])
        found = [_made_for_one(c, found, run, maps) for c in found]
    return sorted(found, key=lambda call: call.started)


def blocks_without_map(run: Run, maps: Maps, blocks: list[Call]) -> list[Call]:
    """Return the modules outside ``blocks`` that work as blocks do but return no map."""
    hidden = [c for c in _repeated_adding(run, maps) if not _returns_one_map(c, maps)]
    apart = [c for c in hidden if not any(b is c or b.contains(c) or c.contains(b) for b in blocks)]
    return _outermost(apart)


def _repeated_adding(run: Run, maps: Maps) -> list[Call]:
    """Return the modules of every class that adds and occurs more than once."""
    calls = [c for c in run.calls.values() if c.path]
    kinds = Counter(type(call.module) for call in calls)
    adding = {type(c.module) for c in calls if _adds(c, maps)}
    return [c for c in calls if type(c.module) in adding and kinds[type(c.module)] > 1]


def _returns_one_map(call: Call, maps: Maps) -> bool:
    """Return whether a module returns a map first, and no other map but those that it was given."""
    made = {node for node in call.output_nodes if maps.at(node) is not None} - {*call.input_nodes}
    return maps.output(call) is not None and len(made) < 2


def _decodes(call: Call, run: Run, maps: Maps, lineage: Lineage) -> bool:
    """Return whether a module takes a map of an encoder and a deeper one, and returns one as fine."""
    made = maps.output(call)
    finer = [maps.at(node) for node in lineage.finer(run.map_arguments(call).values())]
    return made is not None and any(f is None or f.positions <= made.positions for f in finer)


def _adds(call: Call, maps: Maps) -> bool:
    """Return whether a module sums maps of its output's shape, or tokens that it then lays out as a map.

    Both come from the images: a position embedding is added too, and has the shape of one image's tokens.
    """
    if call.output is None:
        return False
    shape, made = tuple(call.output.shape), maps.output(call)
    sums = [node for node in call.adds if maps.sums_images(node)]
    tokens = [lay for node in sums if (lay := maps.at(node)) is not None and lay.kind not in ("map", "grid")]
    same = [
        lay for lay in tokens if made is not None and (lay.channels, lay.size) == (made.channels, made.size)
    ]
    return bool(same) or any(maps.shape(node) == shape for node in sums)


def _folding(blocks: list[Call], calls: list[Call], run: Run, maps: Maps) -> list[Call]:
    """Return the modules that fold parts back into a map on which blocks inside them work.

    As in MobileViT, whose blocks see every fourth position as another image.
    """
    found: list[Call] = []
    for part in _repeated_adding(run, maps):
        if _returns_one_map(part, maps) or any(b.contains(part) for b in [*blocks, *found]):
            continue
        around = (c for c in run.ancestors(part.path) if not isinstance(c.module, PLAIN) and c in calls)
        folded = next(around, None)
        if folded is not None and not any(folded.contains(b) for b in blocks):
            found.append(folded)
    return found


def _in_one_row(found: list[Call], calls: list[Call]) -> list[Call]:
    """Return modules of many layers that stand in one row with blocks, as ``blocks.0.0`` with ``blocks.1.0``.

    Such as the first block of an EfficientNet, which has another class than the others and changes the width.
    """
    rows = Counter(c.numberless_path for c in found if c.numberless_path != c.path)
    beside = [
        c for c in calls if rows[c.numberless_path] > 1 and c not in found and not isinstance(c.module, PLAIN)
    ]
    return [c for c in beside if sum(c.contains(o) and isinstance(o.module, _WEIGHTS) for o in calls) > 1]


def _made_for_one(call: Call, found: list[Call], run: Run, maps: Maps) -> Call:
    """Return the outermost module around a part that joins which holds no other such part."""
    for around in run.ancestors(call.path):
        alone = not isinstance(around.module, PLAIN) and sum(around.contains(other) for other in found) == 1
        if not alone or not _returns_one_map(around, maps):
            break
        call = around
    return call


def _is_lone_block(call: Call, repeated: list[Call], maps: Maps) -> bool:
    """Distinguish a block that occurs once from a part that adds, such as a position embedding."""
    layout = maps.output(call)
    if layout is None or layout.kind not in ("map", "grid") or isinstance(call.module, nn.ModuleDict):
        return False
    if repeated and call.started > max(block.ended for block in repeated):
        return False  # a head that adds
    return not any(call.contains(other) or other.contains(call) for other in repeated)


def _nesting(calls: list[Call]) -> set[str]:
    """Return the paths of modules that hold others of their own class."""
    alike: dict[type[nn.Module], list[Call]] = {}
    for call in calls:
        alike.setdefault(type(call.module), []).append(call)
    return {c.path for kind in alike.values() for c in kind if any(c.contains(other) for other in kind)}


def _outermost(calls: list[Call]) -> list[Call]:
    return [c for c in calls if not any(other.contains(c) for other in calls)]
