"""Sentences and translations that are Python objects already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from foveate.data.folders.name_words import split_named
from foveate.data.pairs.lines import Lines
from foveate.data.pairs.part import Part
from foveate.errors import DataError

Pairs = Iterable[tuple[str, str]]


def parts_in_memory(pairs: Pairs | Mapping[str, Pairs]) -> dict[str, Part]:
    """Return pairs by split, under the empty name if they come in one piece.

    Args:
        pairs: (sentence, translation), or a mapping from the names of splits to such.

    Raises:
        DataError: A name is not a split's, or something is not a pair of texts.
    """
    if not isinstance(pairs, Mapping):
        return {"": _part("pairs", pairs)}
    found: dict[str, Part] = {}
    for name, some in pairs.items():
        split = split_named(str(name))
        if split is None:
            raise DataError(f"pairs: {name!r} is not a split. Name the splits train, val and test.")
        found[split] = _part(split, some)
    return found


def _part(where: str, pairs: Pairs) -> Part:
    some = list(pairs)
    for number, pair in enumerate(some):
        if not isinstance(pair, tuple | list) or len(pair) != 2 or not all(isinstance(s, str) for s in pair):
            raise DataError(
                f"{where}: item {number} is {pair!r:.60}, expected a sentence and its translation, two texts."
            )
    numbers = np.arange(1, len(some) + 1, dtype=np.int64)
    return Part(Lines.of(pair[0] for pair in some), Lines.of(pair[1] for pair in some), numbers)
