"""The normal form of answers, so that "A dog." and "a dog" are the same.

Small letters; a punctuation mark is left out where it follows or precedes a space, else it becomes one; a
comma between digits is left out, and so is a full stop that is not between digits. As the public scripts for
questions about pictures do; words are left as they are.
"""

from __future__ import annotations

import re

from foveate.data.words.normal_text import normal

_MARKS = ';/[]"{}()=+\\_-><@`,?!'
_STOP = re.compile(r"(?<!\d)\.|\.(?!\d)")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d)")


def normal_answer(text: str) -> str:
    """Return an answer in its normal form; an answer of marks alone stays as it is.

    Example:
        >>> [normal_answer(text) for text in (" A dog. ", "1,000", "black/white", "3.5")]
        ['a dog', '1000', 'black white', '3.5']
    """
    whole = normal(text, lower=True)
    found = _THOUSANDS.sub("", whole)
    for mark in _MARKS:
        beside = f"{mark} " in found or f" {mark}" in found or found.startswith(mark) or found.endswith(mark)
        found = found.replace(mark, "" if beside else " ")
    found = " ".join(_STOP.sub("", found).split())
    return found or whole
