"""Which word of an answer is matched with which word of a reference, as METEOR 1.5 chooses.

Rules   the alignment with most matches; of those the one with fewest chunks, runs of matches that are
        adjacent in both texts; of those the one with the least distance. Words that can be matched in one way
        only are matched beforehand; then a search over the reference from left to right keeps 40 alignments.
Quirks  of the original that scores depend on. Matches of stems do not count as matches in this choice: their
        weight is cut to a whole number. The distance |i - j| of a match counts not for the alignment that has
        it, but for those that are tried after it at this place: with a later match, or with none. Equal texts
        are matched without stems.
Paper   Denkowski, Lavie. Meteor Universal. WMT 2014, section 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from itertools import accumulate, islice
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64

BEAM = 40
_FEW = 16  # words that are counted faster one by one


class Match(NamedTuple):
    """A word of the answer for a word of the reference; stage 0 of equal words, 1 of equal stems."""

    word: int
    stage: int


class _Path(NamedTuple):
    """Matches so far, ordered as paths are compared: fewer is better."""

    missed: int
    chunks: int
    distance: int
    end: int  # the answer's word that would continue the last chunk; -1 after a gap
    used: int  # words of the answer, one bit each
    matches: Any  # the last one's and those before it: (..., None or Match)


def align(
    answer: Sequence[str], reference: Sequence[str], stems: tuple[Sequence[str], Sequence[str]] | None = None
) -> tuple[list[Match | None], int]:
    """Return the match of each of the reference's words, and the number of chunks.

    Args:
        answer: Its words.
        reference: Its words.
        stems: Of both, if equal stems match too.

    Example:
        >>> matches, chunks = align("a dog runs".split(), "the dog is a dog".split())
        >>> [match and match.word for match in matches], chunks
        ([None, None, None, 0, 1], 1)
    """
    possible = _possible(answer, reference, stems)
    fixed, used = _fixed(possible, len(answer))
    paths = [_Path(0, 0, 0, -1, used, None)]
    for place, matches in enumerate(possible):
        sure = fixed[place]
        if sure is not None or not any(matches):
            further = 0 if sure is None else abs(place - sure.word)
            grown = [_with(path, sure, path.distance + further) for path in paths]
            paths = sorted(grown, key=lambda path: path[:3])
            continue
        streams = (one for n, path in enumerate(paths) for one in _growing(path, n, place, matches))
        best_few = islice(merge(*streams), BEAM)
        paths = [_with(step.path, step.match, step.distance) for step in best_few]
    last = [path._replace(chunks=path.chunks + (path.end >= 0)) for path in paths]
    best = min(last, key=lambda path: path[:3])
    return _listed(best.matches), best.chunks


def _listed(linked: Any) -> list[Match | None]:
    found = []
    while linked is not None:
        linked, match = linked
        found.append(match)
    return found[::-1]


def _possible(
    answer: Sequence[str], reference: Sequence[str], stems: tuple[Sequence[str], Sequence[str]] | None
) -> list[tuple[int, int]]:
    """Return which of the answer's words each of the reference's may be matched with, one bit each.

    Of equal words, and of others with an equal stem.
    """
    equal = _bits(answer)
    if stems is None or list(answer) == list(reference):
        return [(equal.get(word, 0), 0) for word in reference]
    alike = _bits(stems[0])
    return [
        (equal.get(word, 0), alike.get(stem, 0) & ~equal.get(word, 0))
        for word, stem in zip(reference, stems[1], strict=True)
    ]


def _bits(words: Sequence[str]) -> dict[str, int]:
    """Return where each word is, one bit each."""
    found: dict[str, int] = {}
    for place, word in enumerate(words):
        found[word] = found.get(word, 0) | 1 << place
    return found


def _fixed(possible: list[tuple[int, int]], words: int) -> tuple[list[Match | None], int]:
    """Return the matches of words that can be matched in one way only, and the answer's words among them."""
    once = twice = 0
    for equal, alike in possible:
        twice |= once & (equal | alike)
        once |= equal | alike
    fixed: list[Match | None] = []
    used = 0
    for equal, alike in possible:
        own = equal | alike
        sure = own.bit_count() == 1 and not own & twice
        fixed.append(Match(own.bit_length() - 1, int(not equal)) if sure else None)
        used |= own if sure else 0
    return fixed, used


class _Step(NamedTuple):
    """A path with what may follow, ordered as the longer path would be; among equals as they are tried."""

    missed: int
    chunks: int
    distance: int
    path_number: int
    tried: int
    path: _Path
    match: Match | None


def _growing(path: _Path, number: int, place: int, possible: tuple[int, int]) -> Iterator[Iterable[_Step]]:
    """Yield sorted streams of a path's next steps, none of which is formed before it is needed."""
    distance, tried = path.distance, 0
    for stage, words in enumerate(possible):
        free = words & ~path.used
        if not free:
            continue
        own: Sequence[int] | np.ndarray = _places(free)
        sums: Sequence[int] | np.ndarray
        if len(own) <= _FEW:
            sums = list(accumulate((abs(place - word) for word in own), initial=distance))
        else:
            sums = np.append(distance, distance + np.abs(place - np.asarray(own)).cumsum())
        about = (path, number, stage, tried)
        yield _others(about, own, sums)
        if path.end >= 0 and free >> path.end & 1:
            n = (free & ((1 << path.end) - 1)).bit_count()
            yield (_step(*about, n, path.end, int(sums[n])),)
        # the original charges the distance of a match to what is tried afterwards
        distance, tried = int(sums[-1]), tried + len(own)
    yield (_Step(path.missed, path.chunks + (path.end >= 0), distance, number, tried, path, None),)


def _others(
    about: tuple[_Path, int, int, int], words: Sequence[int] | np.ndarray, sums: Sequence[int] | np.ndarray
) -> Iterator[_Step]:
    """Yield the matches that do not continue a chunk, in which no rank is below the one before."""
    for n in range(len(words)):
        if words[n] != about[0].end:
            yield _step(*about, n, int(words[n]), int(sums[n]))


def _step(path: _Path, number: int, stage: int, tried: int, n: int, word: int, distance: int) -> _Step:
    chunks = path.chunks + (path.end >= 0 and path.end != word)
    return _Step(path.missed - (stage == 0), chunks, distance, number, tried + n, path, Match(word, stage))


def _places(bits: int) -> Sequence[int] | Int64[np.ndarray, " n"]:
    """Return where the ones are, from the lowest."""
    if bits.bit_count() > _FEW:
        data = np.frombuffer(bits.to_bytes(-(-bits.bit_length() // 8), "little"), np.uint8)
        return np.flatnonzero(np.unpackbits(data, bitorder="little"))
    found = []
    while bits:
        found.append((bits & -bits).bit_length() - 1)
        bits &= bits - 1
    return found


def _with(path: _Path, match: Match | None, distance: int) -> _Path:
    """Return a path with one more match or a gap, and this distance."""
    if match is None:
        closed = path.chunks + (path.end >= 0)
        return _Path(path.missed, closed, distance, -1, path.used, (path.matches, None))
    word, stage = match
    return _Path(
        path.missed - (stage == 0),
        path.chunks + (path.end >= 0 and path.end != word),
        distance,
        word + 1,
        path.used | 1 << word,
        (path.matches, match),
    )
