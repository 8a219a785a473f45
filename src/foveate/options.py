"""Checks of option values, each with an error that names the option.

``checked`` compares options with the annotations of the function or class that takes them; the other
functions check ranges.
"""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from foveate.errors import FoveateError, OptionError, nearest
from foveate.typed import Misfit, fitted, hints

T = TypeVar("T")
_MOST, _TINY = 2**16, 1e-12
_WORDS = {"true": True, "false": False, "none": None}


def checked(owner: str, takes: Callable[..., object], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return options, converted to the annotations of what takes them: a list to a tuple where one is meant.

    Args:
        owner: Whose options they are, for messages.
        takes: A function or class; a parameter without an annotation takes any value.
        given: Options by name.

    Raises:
        OptionError: An option does not exist, or its value has the wrong type; the text names the option, the
            value and what was expected.

    Example:
        >>> def blur(sigma: float, *, bias: bool = True): ...
        >>> checked("blur", blur, {"bias": "false"})
        Traceback (most recent call last):
            ...
        foveate.errors.OptionError: blur: bias: got 'false', expected True or False. Write bias=False.
    """
    parameters = inspect.signature(takes).parameters
    known = [n for n, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    if len(known) == len(parameters):
        for name in given:
            if name not in known:
                options = [n for n in known if parameters[n].kind is inspect.Parameter.KEYWORD_ONLY] or known
                near = f" {nearest(name, options)}" if options else ""
                listed = ", ".join(options) or "none"
                raise OptionError(f'{owner} has no option "{name}".{near} Its options: {listed}')
    types = hints(takes)
    return {name: _fitted(owner, name, value, types) for name, value in given.items()}


def check_fields(options: object, owner: str = "") -> None:
    """Check every field of a dataclass against its annotation, for ``__post_init__``.

    Raises:
        OptionError: A value has the wrong type.
    """
    kind: Any = type(options)
    types = hints(kind)
    for field in fields(options):  # type: ignore[arg-type]
        if field.init:
            value = _fitted(owner, field.name, getattr(options, field.name), types)
            object.__setattr__(options, field.name, value)


def sensible(owner: str, options: Mapping[str, Any]) -> None:
    """Refuse numbers with which no layer can be built or computed, as after a typo.

    Raises:
        OptionError: An integer is above 65536, or a number is neither 0 nor between 1e-12 and 1e12.
    """
    for name, value in options.items():
        for number in value if isinstance(value, tuple | list) else (value,):
            if isinstance(number, int) and abs(number) > _MOST:
                raise OptionError(
                    f"{owner}: {name}: got {number}, expected a whole number of at most {_MOST}"
                )
            if isinstance(number, float) and number and not _TINY <= abs(number) <= 1 / _TINY:
                raise OptionError(
                    f"{owner}: {name}: got {number}, expected 0 or a number of {_TINY:g} to {1 / _TINY:g}"
                )


def read_record(kind: type[T], plain: object, path: Path, error: type[FoveateError], advice: str) -> T:
    """Return a record from the content of a JSON file; unknown entries are ignored.

    Args:
        kind: A dataclass or TypedDict, whose annotations are the file's schema.
        plain: The content of the file.
        path: The file, for messages.
        error: The type of the error to raise.
        advice: What to do about it, as a sentence.

    Raises:
        FoveateError: The content does not fit; as an ``error``. The text names the entry, its value and what
            was expected.
    """
    try:
        found: T = fitted(plain, kind)
    except Misfit as misfit:
        entry = misfit.path or "its content"
        raise error(f"{path}: {entry} is {misfit.got}, expected {misfit.expected}. {advice}") from None
    return found


def _fitted(owner: str, name: str, value: object, types: Mapping[str, Any]) -> Any:
    if name not in types:
        return value
    try:
        return fitted(value, types[name], name)
    except Misfit as misfit:
        word = value.strip().lower() if isinstance(value, str) else ""
        hint = f". Write {name}={_WORDS[word]}." if word in _WORDS and misfit.path == name else ""
        whose = f"{owner}: " if owner else ""
        text = f"{whose}{misfit.path}: got {misfit.got}, expected {misfit.expected}{hint}"
        raise OptionError(text) from None


def reduced(channels: int, reduction: int, least: int = 1) -> int:
    """Return ``channels // reduction``, but at least ``least``: a layer of width 0 gates nothing.

    Raises:
        OptionError: One of the two is not a positive integer.
    """
    return max(least, whole("channels", channels) // whole("reduction", reduction))


def whole(option: str, value: int, least: int = 1, most: int | None = None) -> int:
    """Return ``value`` if it is a whole number of at least ``least``, and of at most ``most`` if that is set.

    Raises:
        OptionError: It is not; the text names ``option``.
    """
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least:
        raise OptionError(f"{option}: got {value!r}, expected a whole number of at least {least}")
    if most is not None and value > most:
        raise OptionError(f"{option}: got {value}, expected a whole number of at most {most}")
    return int(value)


def is_seed(value: object) -> bool:
    """Return whether ``value`` can seed every generator: an integer from 0 to below 2**63."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and 0 <= int(value) < 2**63


def seed_number(option: str, value: int) -> int:
    """Return ``value`` if it can be a seed.

    Raises:
        OptionError: It cannot; the text names ``option``.
    """
    if not is_seed(value):
        raise OptionError(f"{option}: got {value!r}, expected a whole number from 0 to below 2**63")
    return value


def odd(option: str, value: int) -> int:
    """Return ``value`` if it is an odd integer, as a kernel centred on its pixel needs.

    Raises:
        OptionError: It is not; the text names ``option``.
    """
    if whole(option, value) % 2 == 0:
        raise OptionError(f"{option}: got {value}, expected an odd number, such as {value + 1}")
    return value


def positive(option: str, value: float) -> float:
    """Return ``value`` as a float if it is finite and above 0.

    Raises:
        OptionError: It is not; the text names ``option``.
    """
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number or not 0 < value < float("inf"):
        raise OptionError(f"{option}: got {value!r}, expected a number above 0")
    return float(value)


def between(option: str, value: float, least: float, most: float = float("inf")) -> float:
    """Return ``value`` as a float if it is a finite number from ``least`` to ``most``, both included.

    Raises:
        OptionError: It is not; the text names ``option``.
    """
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
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
    if not isinstance(value, str) or value not in words:
        raise OptionError(f"{option}: got {value!r}, expected one of {', '.join(words)}")


def each_width(channels: int | Sequence[int], maps: int) -> tuple[int, ...]:
    """Return the channels of each of ``maps`` maps, given one number for all or one for each.

    Raises:
        OptionError: There is not one positive integer per map.
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


def one_width(widths: tuple[int, ...]) -> int:
    """Return the width that all maps have, as a sum of them needs.

    Raises:
        OptionError: They differ.
    """
    if len(set(widths)) > 1:
        raise OptionError(
            f"channels: got {widths}, expected the same number for each map, as they are summed"
        )
    return widths[0]
