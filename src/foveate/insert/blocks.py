"""Which modules of a model are its residual or transformer blocks, told by what they do, not by names.

A block adds its input, or something of its output's shape, to what it computed, in its own ``forward``; and
its class occurs more than once. Networks that join instead of adding (DenseNet, Inception) repeat a class
that joins. What takes a map of an encoder and a deeper one is a decoder's, and no block; nor is a module that
holds others of its own class, as where a U-Net is written from the outermost size to the innermost.
"""

from __future__ import annotations

import math
import re
from collections import Counter

from torch import nn

from foveate.insert.layout import Layout
from foveate.insert.lineage import Lineage
from foveate.insert.maps import Maps
from foveate.insert.probe import Call, Probe

_PLAIN = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_WEIGHTS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
_SAME_ASPECT = math.log(1.6)


def find_blocks(notes: Probe, maps: Maps) -> list[Call]:
    """Return the outermost blocks in the order in which they ran."""
    past = Lineage(notes, maps, [])
    calls = [c for c in notes.calls.values() if c.path and maps.output(c) is not None]
    nesting = _nesting(calls)
    calls = [c for c in calls if c.path not in nesting and not past.finer(past.arguments(c).values())]
    kinds = Counter(type(call.module) for call in calls)
    adding = {type(c.module) for c in calls if _adds(c, maps)}
    repeated = _hoisted(
        [c for c in calls if type(c.module) in adding and kinds[type(c.module)] > 1], notes, maps
    )
    single = [
        c
        for c in calls
        if type(c.module) in adding and kinds[type(c.module)] == 1 and _is_lone_block(c, repeated, maps)
    ]
    found = _outermost([*repeated, *single])
    found = _outermost([*found, *_in_line(found, calls)])
    if not found:
        joining = {type(c.module) for c in calls if c.joins}
        found = _outermost([c for c in calls if type(c.module) in joining and kinds[type(c.module)] > 1])
    return sorted(found, key=lambda call: call.started)


def _adds(call: Call, maps: Maps) -> bool:
    """Return whether a module sums maps of its output's shape, or tokens that it then lays out as a map.

    Both come from the images: a position embedding is added too, and has the shape of one image's tokens.
    """
    if call.output is None:
        return False
    shape = tuple(call.output.shape)
    summed = {maps.shape(node) for node in call.adds if maps.sums_images(node)}
    unfolded = [
        s for s in summed if len(s) < len(shape) and (s[0], math.prod(s)) == (shape[0], math.prod(shape))
    ]
    return shape in summed or bool(unfolded)


def _in_line(found: list[Call], calls: list[Call]) -> list[Call]:
    """Return modules that stand where blocks stand (``blocks.0.0`` beside ``blocks.1.0``), of many layers.

    Such as the first block of an EfficientNet, which is of another class than the others and changes the
    width.
    """
    lines = Counter(_line(c) for c in found if _line(c) != c.path)
    beside = [c for c in calls if lines[_line(c)] > 1 and c not in found and not isinstance(c.module, _PLAIN)]
    return [c for c in beside if sum(c.holds(o) and isinstance(o.module, _WEIGHTS) for o in calls) > 1]


def _line(call: Call) -> str:
    return re.sub(r"\d+", "N", call.path)


def _is_lone_block(call: Call, repeated: list[Call], maps: Maps) -> bool:
    """Tell a block of which there is one from a part that adds, such as a position embedding."""
    layout = maps.output(call)
    if layout is None or layout.kind == "tokens" or isinstance(call.module, nn.ModuleDict):
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


def _hoisted(blocks: list[Call], notes: Probe, maps: Maps) -> list[Call]:
    """Replace blocks that see an unfolded map, as in MobileViT, by the module that folds it back."""
    odd = {type(c.module) for c in blocks if not _is_picture(maps.output(c), c, notes, maps)}
    kept = [c for c in blocks if type(c.module) not in odd]
    for block in blocks:
        if type(block.module) in odd:
            around = (c for c in notes.ancestors(block.path) if type(c.module) not in _PLAIN)
            folded = next((c for c in around if _is_picture(maps.output(c), c, notes, maps)), None)
            if folded is not None and folded not in kept:
                kept.append(folded)
    return kept


def _is_picture(layout: Layout | None, call: Call, notes: Probe, maps: Maps) -> bool:
    """Return whether a map still has the batch and about the aspect of the image."""
    if layout is None or call.output is None or call.output.shape[0] != maps.batch:
        return False
    if layout.dims == 1 or min(layout.height, layout.width) < 2:
        return True
    height, width = notes.batch.shape[-2:]
    return abs(math.log(layout.height / layout.width) - math.log(height / width)) < _SAME_ASPECT


def _outermost(calls: list[Call]) -> list[Call]:
    return [c for c in calls if not any(other.holds(c) for other in calls)]
