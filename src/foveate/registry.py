"""One small generic class: names, as users write them, and what they stand for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from foveate.errors import UnknownNameError

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """A read-only mapping that is filled by a decorator.

    Args:
        kind: What it holds, in the singular; error messages say it.
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
        """Return a decorator that files what it decorates under ``name``.

        Raises:
            ValueError: ``name`` is not snake_case, or is taken.
        """
        if not name.isidentifier() or name != name.lower():
            raise ValueError(f'{self.kind} names are snake_case, got "{name}"')

        def file(entry: T) -> T:
            if name in self._entries:
                raise ValueError(f'{self.kind} "{name}" is registered twice')
            self._entries[name] = entry
            return entry

        return file

    def name_of(self, entry: T, otherwise: str = "") -> str:
        """Return the name that ``entry`` is filed under; ``otherwise`` is for one that may not be filed."""
        names = (name for name, filed in self._entries.items() if filed is entry)
        return next(names, otherwise) if otherwise else next(names)

    def __getitem__(self, name: str) -> T:
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownNameError(self.kind, name, self._entries, self.see) from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"Registry({self.kind}: {', '.join(self._entries)})"
