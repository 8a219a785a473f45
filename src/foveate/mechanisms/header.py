"""The header of a mechanism's file, as data."""

from __future__ import annotations

import inspect


def header(cls: type) -> dict[str, str]:
    """Return the header of a mechanism's file: the sentence, and its named lines.

    The keys are ``Summary``, ``Formula``, ``Paper``, ``Shapes``, ``Cost`` and ``Differs``.
    """
    lines = (inspect.getdoc(inspect.getmodule(cls)) or "").splitlines()
    entries: dict[str, str] = {"Summary": lines[0] if lines else ""}
    key = ""
    for line in lines[1:]:
        word, _, rest = line.partition(" ")
        if word in ("Formula", "Paper", "Shapes", "Cost", "Differs"):
            key, entries[word] = word, rest.strip()
        elif key and line.startswith(" "):
            entries[key] += "\n" + line.strip()
    return entries
