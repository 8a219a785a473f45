"""The same sentence more than once: across splits, within one, or with different translations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int64, UInt64

from foveate.data.checks.finding import Finding
from foveate.data.pairs.line_hashes import line_hashes
from foveate.data.pairs.pair_data import PairData

_NAMED = 4  # members of a group that are named


def repetitions(data: PairData) -> Iterator[Finding]:
    """Yield what is found of sentences that occur more than once; empty ones do not count."""
    splits = list(data.splits.values())
    part = np.repeat(np.arange(len(splits)), [len(split) for split in splits])
    source = np.concatenate([line_hashes(split.source) for split in splits])
    target = np.concatenate([line_hashes(split.target) for split in splits])
    firsts = np.append(0, np.cumsum([len(split) for split in splits]))
    across, within, several = [], [], []
    for group in _groups(source):
        if not splits[part[group[0]]].source[int(group[0] - firsts[part[group[0]]])].strip():
            continue
        names = [splits[part[item]].names[int(item - firsts[part[item]])] for item in group[:_NAMED]]
        text = " = ".join(names) + (f" and {len(group) - _NAMED} more" if len(group) > _NAMED else "")
        pairs = list(zip(part[group].tolist(), target[group].tolist(), strict=True))
        if len({number for number, _ in pairs}) > 1:
            across.append(_apart(group, part, firsts, data))
        if len(set(pairs)) < len(pairs):
            within.append(text)
        if len({translation for _, translation in pairs}) > 1:
            several.append(text)
    if across:
        text = (
            f"{counted(across, 'sentence')} in several splits: test scores would be optimistic. Remove from "
            "train."
        )
        yield Finding("duplicate_across_splits", "warning", text, tuple(across))
    if within:
        text = f"{counted(within, 'pair')} more than once in a split. What is there twice counts double."
        yield Finding("duplicate_within_split", "note", text, tuple(within))
    if several:
        text = f"{counted(several, 'sentence')} with different translations in different places."
        yield Finding("several_translations", "note", text, tuple(several))


def _apart(
    group: Int64[np.ndarray, " g"],
    part: Int64[np.ndarray, " n"],
    firsts: Int64[np.ndarray, " s"],
    data: PairData,
) -> str:
    """Return the first member of each split."""
    splits = list(data.splits.values())
    members = {int(part[item]): int(item) for item in group[::-1]}
    return " = ".join(
        splits[number].names[int(item - firsts[number])] for number, item in sorted(members.items())
    )


def _groups(hashes: UInt64[np.ndarray, " n"]) -> Iterator[Int64[np.ndarray, " g"]]:
    """Yield the places of equal numbers, for those that occur more than once, in order of the first place."""
    order = np.argsort(hashes, kind="stable")
    starts = np.append(0, np.flatnonzero(np.diff(hashes[order])) + 1)
    sizes = np.diff(starts, append=len(order))
    several = np.flatnonzero(sizes > 1)
    groups = [order[starts[number] : starts[number] + sizes[number]] for number in several]
    yield from sorted(groups, key=lambda group: group[0])


def counted(found: Sequence[object], what: str) -> str:
    """Return how many there are: "1 pair", "2 pairs"."""
    return f"{len(found):,} {what}{'s' * (len(found) != 1)}"
