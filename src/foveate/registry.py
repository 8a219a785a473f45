"""One small generic class: a mapping from the names that users write to what they stand for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from foveate.entry_points import load_entry_points
from foveate.errors import UnknownNameError

T = TypeVar("T")
PLUGINS = "The entries of another package need --plugin package.module (in Python: import it)."


class Registry(Mapping[str, T], Generic[T]):
    """A read-only mapping that is filled by a decorator.

    The plug-ins that installed packages announce are loaded when it is listed or does not know a name.

    Args:
        kind: What it holds, in the singular, for messages.
        see: A command that lists the names.

    Example:
        >>> shapes = Registry[type]("shape")
        >>> @shapes.register("disc")
        ... class Disc: ...
        >>> shapes["disc"] is Disc
        True
    """

    def __init__(self, kind: str, see: str = "") -> None:
        self.kind, self.see = kind, see
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers what it decorates under ``name``.

        Raises:
            ValueError: ``name`` is not snake_case, or is taken.
        """
        if not name.isidentifier() or name != name.lower():
            raise ValueError(f'{self.kind} names are snake_case, got "{name}"')

        def enter(entry: T) -> T:
            if name in self._entries:
                raise ValueError(f'{self.kind} "{name}" is registered twice')
            self._entries[name] = entry
            return entry

        return enter

    def name_of(self, entry: T, otherwise: str = "") -> str:
        """Return the name of ``entry``; ``otherwise`` is for one that may not be registered."""
        names = (name for name, registered in self._entries.items() if registered is entry)
        return next(names, otherwise) if otherwise else next(names)

    def __getitem__(self, name: str) -> T:
        if name not in self:
            raise UnknownNameError(self.kind, name, self._entries, self.see, PLUGINS)
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        if name not in self._entries:
            load_entry_points()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        load_entry_points()
        return iter(self._entries)

    def __len__(self) -> int:
        load_entry_points()
        return len(self._entries)

    def __repr__(self) -> str:
        return f"Registry({self.kind}: {', '.join(self._entries)})"
