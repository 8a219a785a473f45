"""Terminals and pipes that are not UTF-8, and names that are not text: printed in other letters."""

from __future__ import annotations

import codecs
import sys
from typing import TextIO

HANDLER = "foveate"
_PLAIN = str.maketrans(
    {
        "−": "-",
        "–": "-",
        "—": "-",
        "…": "...",
        "±": "+/-",
        "×": "x",
        "·": "*",
        "→": "->",
        "≤": "<=",
        "≥": ">=",
        "\N{NO-BREAK SPACE}": " ",
        "‘": "'",
        "’": "'",
        "“": '"',
        "”": '"',
    }
)


def be_tolerant() -> None:
    """Let standard output and error print what their encoding lacks: signs plainly, the rest escaped."""
    codecs.register_error(HANDLER, _plainly)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:  # not so where tests or notebooks put something else in place
            reconfigure(errors=HANDLER)


def takes_all(stream: TextIO) -> bool:
    """Return whether a stream can print every letter."""
    return (
        (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "").startswith(("utf", "cp65001"))
    )


def _plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_PLAIN)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end
