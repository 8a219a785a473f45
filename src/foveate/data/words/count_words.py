"""How many words a text has, whatever its language: what bounds the memory of a batch."""

from __future__ import annotations

from collections.abc import Iterable, Sized

import numpy as np
from jaxtyping import Int64

_LETTERS = 20  # of a text without spaces that count as a word; more than any language's words have on average


def count_words(text: str) -> int:
    """Return the number of words between spaces, but at least one for 20 characters.

    Example:
        >>> count_words("a dog runs"), count_words("x" * 1000)
        (3, 50)
    """
    return max(len(text.split()), len(text) // _LETTERS)


def word_counts(texts: Iterable[str]) -> Int64[np.ndarray, " n"]:
    """Return the number of words of each text."""
    number = len(texts) if isinstance(texts, Sized) else -1
    return np.fromiter((count_words(text) for text in texts), dtype=np.int64, count=number)
