"""Packages of the user's own that register tasks, models, mechanisms or metrics."""

from __future__ import annotations

import importlib
from collections.abc import Iterable

_loaded: list[str] = []


def load_plugins(names: Iterable[str]) -> None:
    """Import modules by name, each once."""
    for name in names:
        if name not in _loaded:
            importlib.import_module(name)
            _loaded.append(name)


def loaded_plugins() -> tuple[str, ...]:
    """Return the names of the modules, in the order in which they were imported."""
    return tuple(_loaded)
