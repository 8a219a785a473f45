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

from collections.abc import Sequence
from typing import NamedTuple

BEAM = 40


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
    matches: tuple[Match | None, ...]


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
    paths = [_Path(0, 0, 0, -1, used, ())]
    for place, matches in enumerate(possible):
        grown: list[_Path] = []
        sure = fixed[place]
        for path in paths[:BEAM]:
            if sure is not None:
                grown.append(_with(path, sure, path.distance + abs(place - sure.word)))
                continue
            distance = path.distance
            for match in matches:
                if not path.used >> match.word & 1:
                    grown.append(_with(path, match, distance))
                    distance += abs(place - match.word)  # the original charges it to what is tried afterwards
            closed = path.chunks + (path.end >= 0)
            grown.append(_Path(path.missed, closed, distance, -1, path.used, (*path.matches, None)))
        paths = sorted(grown, key=lambda path: path[:3])
    last = [path._replace(chunks=path.chunks + (path.end >= 0)) for path in paths[:BEAM]]
    best = min(last, key=lambda path: path[:3])
    return list(best.matches), best.chunks


def _possible(
    answer: Sequence[str], reference: Sequence[str], stems: tuple[Sequence[str], Sequence[str]] | None
) -> list[list[Match]]:
    """Return all matches of each of the reference's words, equal words first."""
    found = [[Match(place, 0) for place, given in enumerate(answer) if given == word] for word in reference]
    if stems is not None and list(answer) != list(reference):
        for place, (word, stem) in enumerate(zip(reference, stems[1], strict=True)):
            found[place].extend(
                Match(other, 1)
                for other, (given, own) in enumerate(zip(answer, stems[0], strict=True))
                if own == stem and given != word
            )
    return found


def _fixed(possible: list[list[Match]], words: int) -> tuple[list[Match | None], int]:
    """Return the matches of words that can be matched in one way only, and the answer's words among them."""
    ways = [0] * words
    for matches in possible:
        for match in matches:
            ways[match.word] += 1
    fixed = [own[0] if len(own) == 1 and ways[own[0].word] == 1 else None for own in possible]
    return fixed, sum(1 << match.word for match in fixed if match is not None)


def _with(path: _Path, match: Match, distance: int) -> _Path:
    """Return a path with one more match, and this distance."""
    word, stage = match
    return _Path(
        path.missed - (stage == 0),
        path.chunks + (path.end >= 0 and path.end != word),
        distance,
        word + 1,
        path.used | 1 << word,
        (*path.matches, match),
    )
