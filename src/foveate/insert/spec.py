"""One variant in one string, such as ``se(reduction=8)@blocks+csra@output``: its parser and its printer.

Grammar:

    spec   = term ("+" term)*
    term   = mechanism ["(" option ("," option)* ")"] "@" [where ":"] site
    mechanism = a registered name, or package.module:Class
    option = name "=" (a Python literal, or a bare word that stands for itself)
    where  = "after" (the default) | "before" | "replace"
    site   = a module path, a glob over module paths, or an alias

Nothing is ever evaluated: values are Python literals (numbers, strings, True, False, None, tuples).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast, get_args

from foveate.calls import options_in, printed, split
from foveate.errors import SpecError

Where = Literal["after", "before", "replace"]

_NAME = r"[a-z_][a-z0-9_]*|[A-Za-z_][\w.]*:[A-Za-z_][\w.]*"  # registered, or package.module:Class
_TERM = re.compile(rf"(?P<name>{_NAME})\s*(?P<options>\(.*\))?\s*@\s*(?P<place>[^@]+)", re.DOTALL)
_SITE = re.compile(r"[\w.*?\[\]!-]+")
_FORM = "expected mechanism(key=value)@[before:|after:|replace:]site, such as se(reduction=8)@stage4"


@dataclass(frozen=True)
class Term:
    """One mechanism at one site pattern.

    Args:
        mechanism: Its registered name, or its import path.
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
        SpecError: The text is not a spec; the message quotes the part that cannot be read.

    Example:
        >>> str(parse("se( reduction = 8 )@blocks + eca@replace:*.se"))
        'se(reduction=8)@blocks+eca@replace:*.se'
    """
    if isinstance(text, Spec):
        return text
    if not isinstance(text, str) or not text.strip():
        raise SpecError(f"got {text!r} as a spec, {_FORM}")
    return Spec(tuple(_term(part.strip(), text) for part in split(text, "+")))


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
        raise SpecError(f'cannot read "{part}": "{site}" is not a module path, glob or alias')
    return Term(match["name"], options_in(match["options"], part), cast(Where, where), site)


def _within(part: str, text: str) -> str:
    return "" if part == text else f' in "{text}"'
