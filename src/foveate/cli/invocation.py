"""The words that the user typed, for reports that tell how to repeat what they report."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextvars import ContextVar

_words: ContextVar[tuple[str, ...]] = ContextVar("words", default=())


def remember(words: Sequence[str]) -> None:
    """Keep the words after ``foveate``."""
    _words.set(tuple(words))


def command() -> str:
    """Return the command as a shell takes it."""
    return shlex.join(["foveate", *_words.get()])
