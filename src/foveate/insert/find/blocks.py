"""Which modules of a model are its residual or transformer blocks, told by what they do, not by names.

A block adds its input, or something of its output's shape, to what it computed, in its own ``forward``; and
its class occurs more than once. Networks that join instead of adding (DenseNet, Inception) repeat a class
that joins. What takes a map of an encoder and a deeper one is a decoder's, and no block; nor is a module that
holds others of its own class, as where a U-Net is written from the outermost size to the innermost.
"""

from __future__ import annotations

import re
from collections import Counter

from torch import nn

from foveate.insert.find.encoder_decoder import Lineage
from foveate.insert.find.maps import Maps
from foveate.insert.find.probe import Call, Probe
from foveate.mechanisms.ranks import CONVOLUTIONS

PLAIN = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_WEIGHTS = (*CONVOLUTIONS, nn.Linear)


def find_blocks(notes: Probe, maps: Maps) -> list[Call]:
    """Return the outermost blocks in the order in which they ran."""
    past = Lineage(notes, maps, [])
    calls = [c for c in notes.calls.values() if c.path and _returns_one(c, maps)]
    nesting = _nesting(calls)
    calls = [c for c in calls if c.path not in nesting]
    decoding = [c for c in calls if _decodes(c, past, maps)]
    calls = [c for c in calls if c not in decoding]
    kinds = Counter(type(call.module) for call in calls)
    adding = {type(c.module) for c in calls if _adds(c, maps)}
    repeated = [c for c in calls if type(c.module) in adding and kinds[type(c.module)] > 1]
    repeated = _outermost([*repeated, *_folding(repeated, calls, notes, maps)])
    single = [
        c
        for c in calls
        if type(c.module) in adding and kinds[type(c.module)] == 1 and _is_lone_block(c, repeated, maps)
    ]
    found = _outermost([*repeated, *single])
    alike = {type(block.module) for block in found}
    beside = [c for c in decoding if type(c.module) in alike]  # those that ask a coarser map as well
    found = _outermost([*found, *_in_line(found, [*calls, *beside])])
    if not found:
        joining = {type(c.module) for c in calls if c.joins}
        found = _outermost([c for c in calls if type(c.module) in joining and kinds[type(c.module)] > 1])
        found = [_holder(c, found, notes, maps) for c in found]
    return sorted(found, key=lambda call: call.started)


def hidden_blocks(notes: Probe, maps: Maps, blocks: list[Call]) -> list[Call]:
    """Return what works as blocks do and yet returns no map, outside of those that are blocks."""
    hidden = [c for c in _adding_alike(notes, maps) if not _returns_one(c, maps)]
    return _outermost([c for c in hidden if not any(b is c or b.holds(c) or c.holds(b) for b in blocks)])


def _adding_alike(notes: Probe, maps: Maps) -> list[Call]:
    """Return the modules of every class that adds and occurs more than once."""
    calls = [c for c in notes.calls.values() if c.path]
    kinds = Counter(type(call.module) for call in calls)
    adding = {type(c.module) for c in calls if _adds(c, maps)}
    return [c for c in calls if type(c.module) in adding and kinds[type(c.module)] > 1]


def _returns_one(call: Call, maps: Maps) -> bool:
    """Return whether a module returns a map, first of all, and no other one but those it was given."""
    made = {node for node in call.out if maps.at(node) is not None} - {*call.arrived}
    return maps.output(call) is not None and len(made) < 2


def _decodes(call: Call, past: Lineage, maps: Maps) -> bool:
    """Return whether a module takes a map of an encoder and a deeper one, and returns one as fine."""
    made = maps.output(call)
    finer = [maps.at(node) for node in past.finer(past.arguments(call).values())]
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


def _folding(blocks: list[Call], calls: list[Call], notes: Probe, maps: Maps) -> list[Call]:
    """Return the modules that fold parts back into a map on which blocks inside of them work.

    As in MobileViT, where these see every fourth position as another image.
    """
    found: list[Call] = []
    for part in _adding_alike(notes, maps):
        if _returns_one(part, maps) or any(b.holds(part) for b in [*blocks, *found]):
            continue
        around = (c for c in notes.ancestors(part.path) if not isinstance(c.module, PLAIN) and c in calls)
        folded = next(around, None)
        if folded is not None and not any(folded.holds(b) for b in blocks):
            found.append(folded)
    return found


def _in_line(found: list[Call], calls: list[Call]) -> list[Call]:
    """Return modules that stand where blocks stand (``blocks.0.0`` beside ``blocks.1.0``), of many layers.

    Such as the first block of an EfficientNet, which is of another class than the others and changes the
    width.
    """
    lines = Counter(line_of(c) for c in found if line_of(c) != c.path)
    beside = [
        c for c in calls if lines[line_of(c)] > 1 and c not in found and not isinstance(c.module, PLAIN)
    ]
    return [c for c in beside if sum(c.holds(o) and isinstance(o.module, _WEIGHTS) for o in calls) > 1]


def line_of(call: Call) -> str:
    """Return a module's path without its numbers, which is what modules share that stand in a line."""
    return re.sub(r"\d+", "N", call.path)


def _holder(call: Call, found: list[Call], notes: Probe, maps: Maps) -> Call:
    """Return the module around a part that joins, if it is made for this part alone."""
    for around in notes.ancestors(call.path):
        alone = not isinstance(around.module, PLAIN) and sum(around.holds(other) for other in found) == 1
        if not alone or not _returns_one(around, maps):
            break
        call = around
    return call


def _is_lone_block(call: Call, repeated: list[Call], maps: Maps) -> bool:
    """Tell a block of which there is one from a part that adds, such as a position embedding."""
    layout = maps.output(call)
    if layout is None or layout.kind not in ("map", "grid") or isinstance(call.module, nn.ModuleDict):
        return False
    if repeated and call.started > max(block.ended for block in repeated):
        return False  # a head that adds
    return not any(call.holds(other) or other.holds(call) for other in repeated)


def _nesting(calls: list[Call]) -> set[str]:
    """Return the paths of modules that hold others of their own class."""
    alike: dict[type[nn.Module], list[Call]] = {}
    for call in calls:
        alike.setdefault(type(call.module), []).append(call)
    return {c.path for kind in alike.values() for c in kind if any(c.holds(other) for other in kind)}


def _outermost(calls: list[Call]) -> list[Call]:
    return [c for c in calls if not any(other.holds(c) for other in calls)]
