"""One test that holds its law for each of many values: for cheap ones, where a test of its own costs more."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


def each(values: Iterable[Any]) -> Callable[[Callable[[Any], None]], Callable[[], None]]:
    """Return a decorator that makes one test without arguments of a function of one value.

    The values are tried in order; a failure carries a note of which value it was.
    """
    tried = list(values)

    def decorate(law: Callable[[Any], None]) -> Callable[[], None]:
        def test() -> None:
            for value in tried:
                try:
                    law(value)
                except BaseException as error:
                    error.add_note(f"for {value}")
                    raise

        test.__name__, test.__doc__, test.__module__ = law.__name__, law.__doc__, law.__module__
        return test

    return decorate
