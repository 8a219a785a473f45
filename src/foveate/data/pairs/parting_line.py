"""Where two texts part, of which one lacks some lines: by the lengths of their lines alone.

Lengths of a sentence and its translation go together. If one text lacks d lines at one place, line n matches
line n before it and line n + d behind it; the place is where both halves match best. An estimate (in the
spirit of Gale and Church 1993), which says nothing where no place is clearly better than others.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

_FEW = 20  # lines, of which lengths say little
_BETTER = 0.9  # of the mismatch of the two texts without a place: at most this much is left with it


def parting_line(first: Int64[np.ndarray, " n"], second: Int64[np.ndarray, " m"]) -> int | None:
    """Return the number of the last line, from 1, up to which two texts match, or None if that is not clear.

    Args:
        first: Bytes of each line of one text.
        second: Bytes of each line of the other.

    Example:
        >>> lengths = 10 + 50 * (np.arange(100) ** 2 % 7)
        >>> parting_line(lengths, np.delete(lengths, 40))
        40
    """
    if len(first) > len(second):
        first, second = second, first
    if len(first) < _FEW:
        return None
    extra = len(second) - len(first)
    a, b = np.log1p(first.astype(np.float64)), np.log1p(second.astype(np.float64))
    a, b = a - np.median(a), b - np.median(b)
    before, behind = np.abs(a - b[: len(a)]), np.abs(a - b[extra:])
    left = np.append(0, np.cumsum(before)) + np.append(np.cumsum(behind[::-1])[::-1], 0)
    place = int(left.argmin())
    if left[place] > _BETTER * min(left[0], left[-1]) and 0 < place < len(a):
        return None
    shuffled = np.abs(a - np.roll(a, len(a) // 2)).sum()  # what unrelated lines differ by
    return place if left[place] < _BETTER * shuffled else None
