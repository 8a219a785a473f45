"""Checks of option values, each with an error that names the option."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral

from foveate.errors import OptionError


def reduced(channels: int, reduction: int, least: int = 1) -> int:
    """Return ``channels // reduction``, but never fewer than ``least``: a layer of width 0 gates nothing.

    Raises:
        OptionError: One of the two is not a positive whole number.
    """
    return max(least, whole("channels", channels) // whole("reduction", reduction))


def whole(option: str, value: int, least: int = 1) -> int:
    """Return ``value`` if it is a whole number of at least ``least``.

    Raises:
        OptionError: It is not; the text names ``option``.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise OptionError(f"{option}: got {value!r}, expected a whole number of at least {least}")
    return value


def is_seed(value: object) -> bool:
    """Return whether ``value`` can seed every generator there is: a whole number from 0 to below 2**63."""
    return isinstance(value, Integral) and not isinstance(value, bool) and 0 <= int(value) < 2**63


def seed_number(option: str, value: int) -> int:
    """Return ``value`` if it can be a seed.

    Raises:
        OptionError: It cannot; the text names ``option``.
    """
    if not is_seed(value):
        raise OptionError(f"{option}: got {value!r}, expected a whole number from 0 to below 2**63")
    return value


def odd(option: str, value: int) -> int:
    """Return ``value`` if it is an odd whole number, as a kernel that is centred on its pixel needs.

    Raises:
        OptionError: It is not; the text names ``option``.
    """
    if whole(option, value) % 2 == 0:
        raise OptionError(f"{option}: got {value}, expected an odd number, such as {value + 1}")
    return value


def positive(option: str, value: float) -> float:
    """Return ``value`` as a float if it is above 0.

    Raises:
        OptionError: It is not; the text names ``option``.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise OptionError(f"{option}: got {value!r}, expected a number above 0")
    return float(value)


def between(option: str, value: float, least: float, most: float = float("inf")) -> float:
    """Return ``value`` as a float if it is a finite number from ``least`` to ``most``, both included.

    Raises:
        OptionError: It is not; the text names ``option``.
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not least <= value <= most or value == float("inf"):
        wanted = f"from {least:g} to {most:g}" if most < float("inf") else f"of at least {least:g}"
        raise OptionError(f"{option}: got {value!r}, expected a number {wanted}")
    return float(value)


def flag(option: str, value: bool) -> bool:
    """Return ``value`` if it is True or False.

    Raises:
        OptionError: It is not; the text names ``option``.
    """
    if not isinstance(value, bool):
        raise OptionError(f"{option}: got {value!r}, expected True or False")
    return value


def one_of(option: str, value: str, known: Iterable[str]) -> None:
    """Check that ``value`` is one of the words that ``option`` can be.

    Raises:
        OptionError: It is not; the text lists the words.
    """
    words = list(known)
    if value not in words:
        raise OptionError(f"{option}: got {value!r}, expected one of {', '.join(words)}")


def each_width(channels: int | Sequence[int], maps: int) -> tuple[int, ...]:
    """Return the channels of each of ``maps`` maps, given one number for all or one for each.

    Raises:
        OptionError: As many numbers as there are maps are needed, each positive and whole.
    """
    given = (channels,) * whole("maps", maps) if isinstance(channels, int) else tuple(channels)
    if len(given) != maps:
        raise OptionError(f"channels: got {len(given)} numbers, expected one, or one for each of maps={maps}")
    return tuple(whole("channels", width) for width in given)


def heads_of(channels: int, heads: int | None, most: int = 8) -> int:
    """Return ``heads`` if it divides ``channels``; for None the greatest that does, up to ``most``.

    Raises:
        OptionError: ``heads`` does not divide ``channels``; the text names numbers that do.
    """
    divisors = [d for d in range(1, whole("channels", channels) + 1) if channels % d == 0]
    if heads is None:
        return max(d for d in divisors if d <= most)
    if isinstance(heads, int) and heads in divisors:
        return heads
    near = sorted(divisors, key=lambda d: abs(d - heads) if isinstance(heads, int) else d)[:4]
    listed = ", ".join(map(str, sorted(near)))
    raise OptionError(
        f"heads: got {heads!r}, which does not divide {channels} channels. Near divisors: {listed}"
    )
