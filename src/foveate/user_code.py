"""The user's own code: modules by name, classes and functions by import path, ``package.module:name``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from foveate.errors import UnknownNameError
from foveate.trust import expect_trusted


def is_import_path(name: str) -> bool:
    """Return whether a name is an import path, such as ``package.module:Class``.

    Example:
        >>> is_import_path("my_blocks:Gate"), is_import_path("se")
        (True, False)
    """
    return ":" in name


def import_callable(path: str, kind: str) -> Callable[..., Any]:
    """Return the class or function at an import path.

    This runs the module, which may lie in the current folder.

    Args:
        path: The import path.
        kind: What is looked for, in the singular, such as ``"function"``; the error says it.

    Raises:
        TrustError: The path was read from a file that the caller does not trust.
        UnknownNameError: There is no such module, or it has no such callable.

    Example:
        >>> import_callable("torch.nn:Hardswish", "class").__name__
        'Hardswish'
    """
    expect_trusted(path)
    module_name, _, name = path.partition(":")
    module = _module(module_name, path)
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None) if part else None
    if not callable(found):
        known = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
        raise UnknownNameError(f"{kind} in {module.__name__}", name or path, known)
    return found


def import_module(name: str) -> ModuleType:
    """Import a module by its name; it may lie in the current folder.

    Raises:
        TrustError: The name was read from a file that the caller does not trust.
        ImportError: There is no such module, or it cannot be imported.
    """
    expect_trusted(name)
    importlib.invalidate_caches()
    with current_directory():
        return importlib.import_module(name)


@contextmanager
def current_directory() -> Iterator[None]:
    """Make the current folder importable in a ``with`` block, as ``python -m`` does."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _module(name: str, path: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise  # the module is there, but a module that it imports is not
        near = [file.stem for file in Path.cwd().glob("*.py")]
        raise UnknownNameError(f"module for {path}", name, near) from None
