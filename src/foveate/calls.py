"""A name with options in one string, such as ``unet(encoder=timm/resnet18)``: its parser and its printer.

Models, losses, metrics and the terms of a spec are all written this way. Nothing is ever evaluated: values
are Python literals (numbers, strings, True, False, None, tuples), or bare words that stand for themselves and
may have options too: ``crf_rnn(model=unet(encoder=resnet18))``. ``true`` and ``false`` are True and False, in
any case.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Iterator

from foveate.errors import SpecError

_CALL = re.compile(r"(?P<name>[^()@+=,\s]+)\s*(?P<options>\(.*\))?", re.DOTALL)
_BOOLEANS = {"true": True, "false": False}
_CLOSING = {"(": ")", "[": "]", "{": "}"}


def parse_call(text: str) -> tuple[str, dict[str, object]]:
    """Parse a name with options.

    Raises:
        SpecError: The text is not a name with options; the message quotes the part that cannot be read.

    Example:
        >>> parse_call("unet(encoder=timm/resnet18, depth=4)")
        ('unet', {'encoder': 'timm/resnet18', 'depth': 4})
    """
    match = _CALL.fullmatch(text.strip())
    if match is None:
        raise SpecError(f'cannot read "{text}": expected a name, or a name with options: name(key=value)')
    return match["name"], dict(options_in(match["options"], text))


def options_in(written: str | None, part: str) -> tuple[tuple[str, object], ...]:
    """Parse options in brackets; each may occur once.

    Raises:
        SpecError: They cannot be read; the message quotes ``part``.
    """
    options = tuple(_option(option, part) for option in split((written or "()")[1:-1], ","))
    seen: set[str] = set()
    for key, _ in options:
        if key in seen:
            raise SpecError(f'cannot read "{part}": the option {key} is given twice')
        seen.add(key)
    return options


def split(text: str, separator: str) -> Iterator[str]:
    """Yield the parts of ``text`` between separators outside brackets and quotes."""
    expected: list[str] = []
    quote, start, skip = "", 0, False
    for index, letter in enumerate(text):
        if skip:
            skip = False
        elif quote:
            skip, quote = letter == "\\", "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in _CLOSING:
            expected.append(_CLOSING[letter])
        elif expected and letter == expected[-1]:
            expected.pop()
        elif letter == separator and not expected:
            yield text[start:index]
            start = index + 1
    if quote or expected:
        raise SpecError(f'cannot read "{text}": a {quote or expected[-1]} is missing')
    if start or text.strip():
        yield text[start:]


def _option(option: str, part: str) -> tuple[str, object]:
    key, equals, written = (piece.strip() for piece in option.partition("="))
    if not equals or not key.isidentifier() or not written:
        raise SpecError(f'cannot read "{option.strip()}" in "{part}": expected an option as key=value')
    if written.lower() in _BOOLEANS:
        return key, _BOOLEANS[written.lower()]
    if _is_word(written) or _is_call(written, part):
        return key, written
    try:
        return key, _frozen(ast.literal_eval(written))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise SpecError(
            f'cannot read "{written}" in "{part}": expected a number, a word, "a string", True, False, None '
            "or a tuple of these"
        ) from None


def _is_call(text: str, part: str) -> bool:
    """Return whether this is a word with options, such as ``unet(encoder=resnet18)``, kept as text.

    Raises:
        SpecError: The options cannot be read.
    """
    match = _CALL.fullmatch(text)
    if match is None or not match["options"] or not _is_word(match["name"]):
        return False
    options_in(match["options"], part)
    return True


def _frozen(value: object) -> object:
    """Return ``value`` with tuples for lists, so that terms are hashable and print the same way."""
    if isinstance(value, tuple | list):
        return tuple(_frozen(item) for item in value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(value)


def _is_word(text: str) -> bool:
    """Return whether this is a bare word: a name, or parts of one: ``timm/resnet18``, ``mine.nets:build``."""
    if text.lower() in _BOOLEANS:
        return False
    parts = re.split("[/.:]" if ":" in text else "/", text)
    return text.isascii() and all(part.isidentifier() and not keyword.iskeyword(part) for part in parts)


def printed(value: object) -> str:
    """Return the value of an option as text that ``parse_call`` reads back."""
    if isinstance(value, str) and _is_word(value):
        return value
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return "1e999" if value > 0 else "-1e999"  # the shortest literals that Python reads as infinite
    if isinstance(value, tuple):
        inner = ", ".join(_printed_item(item) for item in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    return repr(value)


def _printed_item(value: object) -> str:
    """Print an item of a tuple, where a bare word would not be a literal."""
    return repr(value) if isinstance(value, str) else printed(value)
