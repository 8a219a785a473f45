"""One variant in one string, such as ``se(reduction=8)@blocks+csra@output``: its parser and its printer.

Grammar:

    spec   = term ("+" term)*
    term   = mechanism ["(" option ("," option)* ")"] "@" [where ":"] site
    option = name "=" (a Python literal, or a bare word that stands for itself)
    where  = "after" (the default) | "before" | "replace"
    site   = a module path, a glob over module paths, or an alias

Nothing is ever evaluated: values are Python literals (numbers, strings, True, False, None, tuples).
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, cast, get_args

from foveate.errors import SpecError

Where = Literal["after", "before", "replace"]

_TERM = re.compile(r"(?P<name>[a-z_][a-z0-9_]*)\s*(?P<options>\(.*\))?\s*@\s*(?P<place>[^@]+)", re.DOTALL)
_CALL = re.compile(r"(?P<name>[^()@+=,\s]+)\s*(?P<options>\(.*\))?", re.DOTALL)
_SITE = re.compile(r"[\w.*?\[\]!-]+")
_FORM = "expected mechanism(key=value)@[before:|after:|replace:]site, such as se(reduction=8)@stage4"
_CLOSING = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True)
class Term:
    """One mechanism at one site pattern.

    Args:
        mechanism: Its registry name.
        options: Its options in the order they were written; lists become tuples.
        where: Behind the module, in front of it, or in its place.
        site: A module path, a glob or an alias.
    """

    mechanism: str
    options: tuple[tuple[str, object], ...] = ()
    where: Where = "after"
    site: str = ""

    def __str__(self) -> str:
        options = ", ".join(f"{key}={printed(value)}" for key, value in self.options)
        where = "" if self.where == "after" else f"{self.where}:"
        return f"{self.mechanism}{f'({options})' if options else ''}@{where}{self.site}"


@dataclass(frozen=True)
class Spec:
    """One variant: the terms in the order in which they are inserted."""

    terms: tuple[Term, ...]

    def __str__(self) -> str:
        return "+".join(str(term) for term in self.terms)


def parse(text: str | Spec) -> Spec:
    """Read a spec; ``parse(str(spec)) == spec`` for every spec.

    Raises:
        SpecError: The text is no spec; the message quotes the part that cannot be read.

    Example:
        >>> str(parse("se( reduction = 8 )@blocks + eca@replace:*.se"))
        'se(reduction=8)@blocks+eca@replace:*.se'
    """
    if isinstance(text, Spec):
        return text
    if not isinstance(text, str) or not text.strip():
        raise SpecError(f"got {text!r} as a spec, {_FORM}")
    return Spec(tuple(_term(part.strip(), text) for part in split(text, "+")))


def parse_call(text: str) -> tuple[str, dict[str, object]]:
    """Read a name with options, the form in which models carry theirs too.

    Raises:
        SpecError: The text is no such thing; the message quotes the part that cannot be read.

    Example:
        >>> parse_call("unet(encoder=timm/resnet18, depth=4)")
        ('unet', {'encoder': 'timm/resnet18', 'depth': 4})
    """
    match = _CALL.fullmatch(text.strip())
    if match is None:
        raise SpecError(f'cannot read "{text}": expected a name, or a name with options: name(key=value)')
    return match["name"], dict(_options(match["options"], text))


def _term(part: str, text: str) -> Term:
    match = _TERM.fullmatch(part)
    if match is None:
        raise SpecError(f'cannot read "{part}"{_within(part, text)}: {_FORM}')
    place = match["place"].strip()
    where, colon, site = place.partition(":")
    if not colon:
        where, site = "after", place
    where, site = where.strip(), site.strip()
    if where not in get_args(Where):
        raise SpecError(f'cannot read "{part}": got "{where}:", expected before:, after: or replace:')
    if not _SITE.fullmatch(site):
        raise SpecError(f'cannot read "{part}": "{site}" is no module path, glob or alias')
    return Term(match["name"], _options(match["options"], part), cast(Where, where), site)


def _options(written: str | None, part: str) -> tuple[tuple[str, object], ...]:
    """Read options in their brackets, each once."""
    options = tuple(_option(option, part) for option in split((written or "()")[1:-1], ","))
    keys = [key for key, _ in options]
    for key in keys:
        if keys.count(key) > 1:
            raise SpecError(f'cannot read "{part}": the option {key} is given twice')
    return options


def _within(part: str, text: str) -> str:
    return "" if part == text else f' in "{text}"'


def split(text: str, separator: str) -> Iterator[str]:
    """Yield the parts of ``text`` between separators that stand outside of brackets and quotes."""
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
    if _is_word(written):
        return key, written
    try:
        return key, _frozen(ast.literal_eval(written))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise SpecError(
            f'cannot read "{written}" in "{part}": expected a number, a word, "a string", True, False, None '
            "or a tuple of these"
        ) from None


def _frozen(value: object) -> object:
    """Return ``value`` with tuples for lists, so that terms are hashable and print in one way."""
    if isinstance(value, tuple | list):
        return tuple(_frozen(item) for item in value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(value)


def _is_word(text: str) -> bool:
    """Tell bare words: names, and names with a place in front such as ``timm/resnet18``."""
    return text.isascii() and all(p.isidentifier() and not keyword.iskeyword(p) for p in text.split("/"))


def printed(value: object) -> str:
    """Return the value of an option as it is read back."""
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
