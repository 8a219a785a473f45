"""Losses and metrics as text: ``name(option=value)`` to a registered dataclass and back.

The text is parsed by ``foveate.calls``; nothing is ever evaluated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

from foveate.calls import parse_call, printed
from foveate.options import checked
from foveate.registry import Registry

T = TypeVar("T")


def build(registry: Registry[type[T]], text: str) -> T:
    """Build the entry that the text describes.

    Raises:
        SpecError: The text cannot be read.
        UnknownNameError: The registry has no such name.
        OptionError: There is no such option, or its value is not allowed.
    """
    name, options = parse_call(text)
    cls: Callable[..., T] = registry[name]
    return cls(**checked(name, cls, options))


def written(registry: Registry[type[T]], entry: T) -> str:
    """Return the name and every option that is not the default, as ``build`` reads it back."""
    defaults = options_of(type(entry))
    given = {name: getattr(entry, name) for name in defaults if getattr(entry, name) != defaults[name]}
    options = ", ".join(f"{name}={printed(shortest(value))}" for name, value in given.items())
    return registry.name_of(type(entry)) + (f"({options})" if options else "")


def options_of(cls: type) -> dict[str, object]:
    """Return the options of a loss or metric and their defaults."""
    dataclass: Any = cls
    return {f.name: f.default for f in fields(dataclass) if f.init}


def shortest(value: object) -> object:
    """Return a float with a whole value as an int, so that 1 and 1.0 print alike."""
    if isinstance(value, tuple):
        return tuple(shortest(item) for item in value)
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value
