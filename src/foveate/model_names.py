"""The names of torchvision's and timm's models, without the seconds that importing the two takes.

Both register a model with a decorator on the function of the same name, so the names can be read from their
sources. A test compares them with the libraries' own lists.
"""

from __future__ import annotations

import fnmatch
import functools
import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

Library = Literal["torchvision", "timm"]

_MODEL = re.compile(
    r'^@register_model(?:\((?:name="(?P<name>\w+)")?\))?\n'  # the decorator
    r"(?:@.*\n(?:[ )].*\n)*)*"  # other decorators
    r"def (?P<function>\w+)\(",
    re.MULTILINE,
)


@functools.cache
def library_names(library: Library) -> tuple[str, ...]:
    """Return the names of a library's models, sorted.

    Example:
        >>> "resnet18" in library_names("torchvision")
        True
    """
    spec = importlib.util.find_spec(library)
    home = Path(spec.origin).parent / "models" if spec is not None and spec.origin else None
    files = sorted(home.rglob("*.py")) if home is not None else []
    found = {
        match["name"] or match["function"]
        for file in files
        for match in _MODEL.finditer(file.read_text(encoding="utf-8"))
    }
    return tuple(sorted(found)) if found else _listed(library)


def _listed(library: Library) -> tuple[str, ...]:
    """Ask the library itself, if its sources are not available."""
    if library == "timm":
        import timm

        return tuple(sorted(timm.list_models()))
    import torchvision

    return tuple(sorted(torchvision.models.list_models()))


def catalogue(own: Iterable[str]) -> dict[str, list[str]]:
    """Return the names of all models, as ``create_model`` takes them, by origin."""
    return {
        "foveate": list(own),
        "torchvision": [f"torchvision/{name}" for name in library_names("torchvision")],
        "timm": [f"timm/{name}" for name in library_names("timm")],
    }


def matching(pattern: str, own: Iterable[str]) -> list[str]:
    """Return the names of models that match a wildcard pattern, foveate's own first.

    Args:
        pattern: Matched against the whole name (``timm/resnet*``) and the part after the slash.
        own: The names of foveate's own models.
    """
    return [
        name
        for names in catalogue(own).values()
        for name in sorted(names, key=_natural)
        if fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name.rpartition("/")[2], pattern)
    ]


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts resnet8 before resnet14."""
    return [(int(part or 0), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]
