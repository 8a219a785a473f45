"""From what ``fv.record`` kept to the layers of an atlas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from foveate.explain.atlas.atlas_content import AtlasLayer, Axis
from foveate.explain.geometry.places import Places
from foveate.explain.recording.attention_map import AttentionMap

_CALLED = {"sequence": "token", "slots": "query", "channels": "channel"}


def layers_of(
    calls: Iterable[AttentionMap], picture: int = 0, words: Sequence[str] | None = None
) -> list[AtlasLayer]:
    """Return the layers that attend from place to place, of one picture of the batch, in the order they ran.

    Gates, and layers whose geometry is unknown, are left out.

    Args:
        calls: As ``fv.record`` gives them, such as ``maps.in_order``.
        picture: Its number in the batch.
        words: What the tokens of a sequence are; by default they are numbered.
    """
    found = [call for call in calls if call.pairwise and call.geometry is not None]
    often = Counter(call.path for call in found)
    return [
        layer_of(
            call, f"{call.path}, call {call.call}" if often[call.path] > 1 else call.path, picture, words
        )
        for call in found
    ]


def layer_of(
    call: AttentionMap, name: str, picture: int = 0, words: Sequence[str] | None = None
) -> AtlasLayer:
    """Return one call of one layer as an atlas shows it; its geometry must be known."""
    assert call.geometry is not None
    weights = call.grouped()[picture].float().cpu().numpy()  # g k n m
    groups, heads, kept, entries = weights.shape
    entry = np.arange(kept) if call.queries is None else np.asarray(call.queries)
    queries, keys = call.geometry.queries, call.geometry.keys
    number = [*map(str, call.heads)] if isinstance(call.heads, tuple) else []
    return AtlasLayer(
        name,
        np.ascontiguousarray(weights.transpose(1, 0, 2, 3).reshape(heads, groups * kept, entries)),
        _queries(queries, groups, entry, words),
        Axis(entries, _grid(keys), _cells(keys), _names(keys, words), keys.reach),
        np.repeat(np.arange(groups), kept) if keys.groups > 1 else None,
        call.note,
        ("mean",) if call.heads == "mean" else number,
    )


def _queries(places: Places, groups: int, entry: np.ndarray, words: Sequence[str] | None) -> Axis:
    """Return the rows of all groups one behind the other."""
    named = _names(places, words)
    row = {int(number): place for place, number in enumerate(entry)}
    names = {row[number]: name for number, name in named.items() if number in row}  # of the first group
    cells = _cells(places)
    if cells is not None:
        cells = np.broadcast_to(cells, (groups, *cells.shape[1:])) if len(cells) == 1 else cells
        cells = cells[:, entry].reshape(1, groups * len(entry), -1)
    return Axis(groups * len(entry), _grid(places), cells, names, places.reach)


def _grid(places: Places) -> tuple[int, int] | None:
    return (places.height, places.width) if places.cells is not None else None


def _cells(places: Places) -> np.ndarray | None:
    return None if places.cells is None else places.cells.cpu().numpy()


def _names(places: Places, words: Sequence[str] | None) -> Mapping[int, str]:
    """Name what has no place: class and register tokens, words, learned queries, channels."""
    if places.cells is None:
        if places.space == "sequence" and words is not None and len(words) == places.entries:
            return {number: f"{number + 1} {word}" for number, word in enumerate(words)}
        called = _CALLED.get(places.space, "entry")
        return {number: f"{called} {number + 1}" for number in range(places.entries)}
    often, seen, names = Counter(places.prefix), Counter[str](), {}
    for number, name in enumerate(places.prefix):
        seen[name] += 1
        names[number] = name if often[name] == 1 else f"{name} {seen[name]}"
    return names
