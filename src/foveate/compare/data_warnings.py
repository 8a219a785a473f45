"""The warnings of the check of the data, in a few lines for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

_SHOWN = 5


def data_warnings(messages: Iterable[str]) -> list[str]:
    """Return a few warnings by their first sentence, how many more there are, and where to read them.

    Args:
        messages: What the check says about each, beginning with what it is.

    Returns:
        Lines, none wider than 80 unless one word is; none without warnings.

    Example:
        >>> data_warnings(["2 images occur in two splits. Remove one of each."])
        ['Warning: 2 images occur in two splits.', 'More about the data: foveate check DATA']
    """
    first = [message.strip().partition(". ")[0].rstrip(".") for message in messages]
    if not first:
        return []
    lines = [line for text in first[:_SHOWN] for line in _wrapped(f"Warning: {text}.")]
    left = len(first) - _SHOWN
    if left > 0:
        lines.append(f"and {left} more {'warning' if left == 1 else 'warnings'}")
    return [*lines, "More about the data: foveate check DATA"]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 80, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
