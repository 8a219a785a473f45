"""Globs over module paths.

``*``, ``?`` and ``[...]`` stay within one name between dots: ``layer[34].*`` are the blocks of two layers,
not everything inside them. A leading ``*.`` stands for any depth: ``*.se`` is every module called ``se``.
"""

from __future__ import annotations

import fnmatch


def matches(pattern: str, path: str) -> bool:
    """Return whether a path fits a pattern.

    Example:
        >>> matches("layer[34].*", "layer3.0"), matches("layer[34].*", "layer3.0.conv1")
        (True, False)
        >>> matches("*.se", "blocks.1.0.se")
        True
    """
    names, wanted = path.split("."), pattern.split(".")
    if wanted[0] == "*" and len(wanted) > 1:
        names, wanted = names[1 - len(wanted) :] if len(names) >= len(wanted) else [], wanted[1:]
    return len(names) == len(wanted) and all(map(fnmatch.fnmatchcase, names, wanted))
