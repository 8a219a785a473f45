"""How the report, the notebook and the figure write numbers and verdicts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"


@dataclass(frozen=True)
class Badge:
    """How a verdict is shown; words and sign repeat what the colour says.

    Args:
        tone: The name of its colours in the style sheet.
        sign: A sign that is distinct without colour.
    """

    tone: str
    sign: str


_BADGES = {
    "helps enough": Badge("helps", "▲"),
    "helps": Badge("helps", "△"),
    "hurts": Badge("hurts", "▼"),
    "no difference worth having": Badge("same", "="),
    "not yet known": Badge("unknown", "?"),
    "dropped": Badge("plain", "×"),
    "baseline": Badge("plain", "○"),
    "no verdict": Badge("plain", DASH),
}


def badge(verdict: str) -> Badge:
    """Return the badge of a verdict; the neutral one for a verdict that this version does not know."""
    return _BADGES.get(verdict, _BADGES["no verdict"])


def plain(value: float | None, digits: int = 1) -> str:
    """Write a number with a true minus sign, or a dash if there is none."""
    if value is None:
        return DASH
    text = f"{value:,.{digits}f}"
    return text.lstrip("-") if not re.search("[1-9]", text) else text.replace("-", MINUS)


def exactly(value: float) -> str:
    """Write a number that was set by hand, such as a margin, with exactly its own digits.

    Example:
        >>> exactly(0.5), exactly(0.005)
        ('0.5', '0.005')
    """
    return f"{value:g}".replace("-", MINUS)


def heading(name: str) -> str:
    """Write a name with a capital, as in a heading, unless it has capitals of its own.

    Example:
        >>> heading("accuracy"), heading("mIoU")
        ('Accuracy', 'mIoU')
    """
    return name if name != name.lower() else name.capitalize()


def singular(plural: str) -> str:
    """Return the singular of a regular plural.

    Example:
        >>> singular("images"), singular("queries")
        ('image', 'query')
    """
    return f"{plural[:-3]}y" if plural.endswith("ies") else plural.removesuffix("s")


def parts(name: str) -> list[str]:
    """Split a variant's name where a line may break: before a site, and within a mechanism's options.

    Example:
        >>> parts("control(like=multi_head)@stage3")
        ['control(', 'like=', 'multi_', 'head)', '@stage3']
    """
    return re.split(r"(?<=[(=,+_])|(?=@)", name)


def signed(value: float | None, digits: int = 2) -> str:
    """Write a difference with its sign, unless it rounds to zero."""
    text = plain(value, digits)
    return f"+{text}" if value is not None and value > 0 and re.search("[1-9]", text) else text


def span(low: float | None, high: float | None, digits: int = 2) -> str:
    """Write the two ends of an interval of differences."""
    if low is None or high is None:
        return "no interval"
    return f"{signed(low, digits)} to {signed(high, digits)}"


def spread(mean: float | None, low: float | None, high: float | None, digits: int = 1) -> str:
    """Write an interval as ± its half width if it is symmetric to the digits shown, else as its two ends."""
    if mean is None or low is None or high is None:
        return ""
    if abs((high - mean) - (mean - low)) < 10**-digits:
        return f"± {plain((high - low) / 2, digits)}"
    return f"{plain(low, digits)} to {plain(high, digits)}"


def count(value: float | None) -> str:
    """Write a whole number with separators."""
    return DASH if value is None else plain(value, 0)


def short(value: float | None, unit: str = "") -> str:
    """Write a large number with three digits and the prefix of its thousands: 12.3 M."""
    if value is None:
        return DASH
    for factor, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{plain(value / factor, _three(value / factor))}\N{NO-BREAK SPACE}{letter}{unit}"
    return f"{plain(value, 0)}{' ' + unit if unit else ''}"


def milliseconds(value: float | None) -> str:
    """Write a duration in milliseconds with three digits."""
    return DASH if value is None else f"{plain(value, _three(value))}\N{NO-BREAK SPACE}ms"


def mebibytes(value: float | None) -> str:
    """Write bytes as MiB."""
    return DASH if value is None else f"{plain(value / 2**20, _three(value / 2**20))}\N{NO-BREAK SPACE}MiB"


def duration(seconds: float | None) -> str:
    """Write a duration: 42 s, 3 min 5 s, 2 h 10 min."""
    if seconds is None:
        return DASH
    if seconds < 60:
        return f"{plain(seconds, 1 if seconds < 10 else 0)} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def relative(value: float | None, base: float | None) -> str:
    """Write by how much a cost exceeds ``base``, in percent; nothing without a base."""
    if value is None or not base:
        return ""
    percent = 100 * (value / base - 1)
    if percent and abs(percent) < 0.1:
        return f"< {'+' if percent > 0 else MINUS}0.1 %"
    return f"{signed(percent, 1 if abs(percent) < 100 else 0)} %" if percent else "same"


def chance(p: float | None) -> str:
    """Write a p-value with two digits, never as zero."""
    if p is None:
        return DASH
    return "< 0.001" if p < 0.001 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def between(numbers: Sequence[int]) -> str:
    """Write the least and the greatest of some numbers.

    Example:
        >>> between([3, 8, 5]), between([3, 3])
        ('3 to 8', '3')
    """
    return " to ".join(dict.fromkeys((str(min(numbers)), str(max(numbers)))))


def letter(index: int) -> str:
    """Return A, B, ... Z, AA, AB, ... for a row of the table."""
    text = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        text = chr(ord("A") + rest) + text
    return text


def _three(value: float) -> int:
    return 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0


def without_repeats(text: str, before: str) -> str:
    """Return the sentences of ``text`` that ``before`` does not contain.

    Example:
        >>> without_repeats("With 3 seeds it finds 2. They pair.", "Nothing: with 3 seeds it finds 2.")
        'They pair.'
    """
    return " ".join(part for part in re.split(r"(?<=\.) ", text) if part[1:] not in before)
