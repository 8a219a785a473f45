"""Which code may run.

A name that the user writes in a call is trusted: ``create_model("mine:build")`` imports and runs it. A name
that is read from a file is not: inside ``reading``, nothing but foveate, timm and torchvision is imported,
and nothing is downloaded, unless the caller trusts the file. Before importing code by a name, call
``expect_trusted``; before downloading, ask ``may_download``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from foveate.errors import TrustError


@dataclass(frozen=True)
class _Reading:
    path: Path
    trusted: bool


_reading: ContextVar[_Reading | None] = ContextVar("reading", default=None)


@contextmanager
def reading(path: str | Path, trusted: bool = False) -> Iterator[None]:
    """A ``with`` block in which names come from a file: no foreign code runs, nothing is downloaded.

    Args:
        path: The file, for the error.
        trusted: Whether the caller trusts all code that the file names; then such code may run.
    """
    token = _reading.set(_Reading(Path(path), trusted))
    try:
        yield
    finally:
        _reading.reset(token)


def expect_trusted(code: str) -> None:
    """Refuse to run code that a file names, unless the file is trusted.

    Args:
        code: What would be imported and called, such as ``"package.module:function"``.

    Raises:
        TrustError: The name was read from a file that the caller does not trust.
    """
    now = _reading.get()
    if now is None or now.trusted:
        return
    module, _, function = code.partition(":")
    raise TrustError(
        f'{now.path} names "{code}": to continue, {function or "code"} of the Python module {module} would '
        "be imported and run with all your permissions. It is not part of foveate, timm or torchvision, so "
        "it needs your consent. If you know and trust it, pass --trust-code (in Python: trust_code=True)."
    )


def may_download() -> bool:
    """Return whether weights may be downloaded: not while reading a file, which has its own."""
    return _reading.get() is None
