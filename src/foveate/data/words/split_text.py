"""Split a text into words and marks so that it can be joined again exactly.

A piece that touched its neighbour keeps that in its spelling: ``GLUE`` at the side where it touched. Words
stay as they are; the marks around them carry the sign, so that "bushes" and "bushes." share a word.

    Two "young" men.  ->  Two  "￭  young  ￭"  men  ￭.

Rules  a word is a run of letters, digits and underscores; a number keeps the points, commas and colons inside
       it (3.14, 10:30). English endings are split off with their apostrophe (man 's, do n't as don 't); any
       other apostrophe between letters stays with the word before it (l' homme, o' clock). A run of one mark
       is one piece (...). Hyphens are marks. The rules need no language; they were made for English and
       German, and languages with marks inside words (Hindi, Thai) are better served by parts of words.

Joining what was split gives back the text in its normal form, except that ``GLUE`` itself becomes a square.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

GLUE = "￭"  # U+FFED, a character that no text needs
_INSTEAD = "■"
_ENDING = r"['’](?:s|m|d|re|ve|ll|t)(?!\w)"
_PIECE = re.compile(
    rf"\d+(?:[.,:]\d+)+(?!\w)|\w++(?={_ENDING})|(?<=\w){_ENDING}|\w++['’](?=\w)|\w++|([^\w\s])\1*+",
    re.IGNORECASE,
)


def split_text(text: str) -> list[str]:
    """Return the pieces of a text.

    Example:
        >>> split_text("A man's T-Shirt, 3.50 Euro.")
        ['A', 'man', "￭'s", 'T', '￭-￭', 'Shirt', '￭,', '3.50', 'Euro', '￭.']
    """
    pieces: list[str] = []
    for piece, touches in touching(text.replace(GLUE, _INSTEAD)):
        if touches and _is_word(piece):
            pieces[-1] += GLUE
            pieces.append(piece)
        else:
            pieces.append(GLUE + piece if touches else piece)
    return pieces


def join_pieces(pieces: Iterable[str]) -> str:
    """Return the text of pieces.

    Example:
        >>> join_pieces(["A", "man", "￭'s", "T", "￭-￭", "Shirt"])
        "A man's T-Shirt"
    """
    text, touches = "", True
    for piece in pieces:
        text += ("" if touches or piece.startswith(GLUE) else " ") + bare(piece)
        touches = piece.endswith(GLUE)
    return text


def bare(piece: str) -> str:
    """Return a piece as it is read, without the signs at its sides."""
    return piece.strip(GLUE)


def touching(text: str) -> Iterator[tuple[str, bool]]:
    """Yield words and marks, and whether each touches the one before it."""
    end = -1
    for found in _PIECE.finditer(text):
        yield found[0], found.start() == end
        end = found.end()


def _is_word(piece: str) -> bool:
    return all(letter.isalnum() or letter == "_" for letter in (piece[0], piece[-1]))
