"""One way to write counts and durations, and to read durations."""

from __future__ import annotations

import math
import re

_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


def short(number: float, space: str = " ") -> str:
    """Return a count with three figures and a prefix.

    Example:
        >>> short(4_090_000_000), short(1234), short(12)
        ('4.09 G', '1.23 k', '12')
    """
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= 0.9995 * size:
            value = number / size
            return f"{value:.3g}{space}{prefix}" if value < 999.5 else f"{value:.0f}{space}{prefix}"
    return f"{number:.3g}"


def agreeing(count: int, text: str, **values: object) -> str:
    """Return a text that agrees with a count in number: of "[one|many]" it keeps what fits.

    Args:
        count: How many; ``{n}`` in the text.
        text: A template, as ``str.format`` takes it.
        values: What else the template names.

    Example:
        >>> agreeing(1, "{n} [class|classes] in {place}", place="train")
        '1 class in train'
        >>> agreeing(1200, "{n} [class has|classes have] no image")
        '1,200 classes have no image'
    """
    chosen = re.sub(r"\[([^|\]]*)\|([^\]]*)\]", r"\1" if count == 1 else r"\2", text)
    return chosen.format(n=f"{count:,}", **values)


def duration(seconds: float) -> str:
    """Return a time span in at most eight letters.

    Example:
        >>> duration(0.2), duration(42), duration(720), duration(9000)
        ('<1 s', '42 s', '12 min', '2.5 h')
    """
    if seconds < 100:
        return f"{max(seconds, 0):.0f} s" if seconds >= 1 or seconds <= 0 else "<1 s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def precise(seconds: float, *, up: bool = False) -> str:
    """Return a time span to the second.

    Args:
        seconds: The time span.
        up: Round up to ten seconds, from a minute on; to one below.

    Example:
        >>> precise(120), precise(131, up=True), precise(3600 + 61)
        ('2 min', '2 min 20 s', '1 h 1 min 1 s')
    """
    step = 10 if seconds > 60 else 1
    whole = math.ceil(seconds / step) * step if up else round(seconds)
    parts = (whole // 3600, "h"), (whole % 3600 // 60, "min"), (whole % 60, "s")
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or duration(seconds)


def ample(seconds: float) -> str:
    """Return a time span that is a tenth longer or a little more, as options read it.

    Example:
        >>> ample(40), ample(130), ample(7200)
        ('44s', '3min', '2.2h')
    """
    longer = round(1.1 * seconds, 6)
    if longer < 100:
        return f"{math.ceil(longer)}s"
    return f"{math.ceil(longer / 60)}min" if longer < 6000 else f"{math.ceil(longer / 360) / 10:g}h"


def seconds_of(text: str) -> float | None:
    """Return the seconds of a time span as ``duration`` writes it; None if it is none.

    Example:
        >>> seconds_of("2h"), seconds_of("40 min"), seconds_of("1.5 h"), seconds_of("soon")
        (7200.0, 2400.0, 5400.0, None)
    """
    found = re.fullmatch(r"\s*([0-9]{1,6}(?:\.[0-9]{1,3})?)\s*(s|min|h|d)\s*", text)
    return float(found[1]) * _SECONDS[found[2]] if found else None
