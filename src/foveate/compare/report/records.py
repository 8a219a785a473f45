"""How a file's schema is written down, once: a TypedDict whose entries say what they mean.

An entry of a record is ``Annotated[type, Entry(meaning, default)]``. The type is what a reader checks, the
default stands in for an entry that is missing, and docs/study-json.md prints the meaning. An entry that must
be there is ``Required``, or in a record that is total.

Modules with records must not postpone annotations (``from __future__ import annotations``): a TypedDict
would not see which entries are required.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import (
    Annotated,
    Any,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from foveate.errors import StudyError, nearest
from foveate.typed import Range

Real = Annotated[float, Range(-1e15, 1e15)]
Count = Annotated[int, Range(-(10**15), 10**15)]
Number = Real | None

DAMAGED = "The file is damaged, or foveate did not write it: run the study's command again."
MADE_WRONG = "Write what docs/study-json.md describes."


@dataclass(frozen=True)
class Entry:
    """What an entry of a record is.

    Args:
        means: Its meaning, with the unit.
        default: What it is where the file does not have it.
        since: The first format that has it.
        extended: Whether the record may have further entries, which depend on what it describes.
    """

    means: str
    default: Any = None
    since: int = 1
    extended: bool = False


def entries(record: type) -> dict[str, tuple[Any, Entry]]:
    """Return the type and the meaning of every entry of a record."""
    found = {}
    for name, hint in get_type_hints(record, include_extras=True).items():
        bare = get_args(hint)[0] if get_origin(hint) in (Required, NotRequired) else hint
        found[name] = next(
            ((get_args(bare)[0], note) for note in get_args(bare)[1:] if isinstance(note, Entry)),
            (bare, Entry("")),
        )
    return found


def completed(plain: Any, hint: Any) -> Any:
    """Return plain data in which every entry that may be missing is there; entries that are unknown stay.

    Args:
        plain: What fits the hint.
        hint: A record, or a type with records in it.
    """
    kind = _inner(plain, hint)
    if is_typeddict(kind):
        known, filled = entries(kind), dict(plain)
        for name, (_, entry) in known.items():
            if name not in kind.__required_keys__ and filled.get(name) is None:
                filled[name] = entry.default
        return {name: completed(v, known[name][0]) if name in known else v for name, v in filled.items()}
    if get_origin(kind) is list:
        return [completed(value, get_args(kind)[0]) for value in plain]
    return plain


def unknown(plain: Any, hint: Any, path: str = "") -> Iterator[tuple[str, str, list[str]]]:
    """Yield every entry that is not in the schema: its path, its name, and the names that there are."""
    kind = _inner(plain, hint)
    if is_typeddict(kind):
        known = entries(kind)
        for name, value in plain.items():
            here = f"{path}.{name}" if path else str(name)
            if name not in known:
                yield here, name, list(known)
            elif not known[name][1].extended:
                yield from unknown(value, known[name][0], here)
    elif get_origin(kind) is list:
        for number, value in enumerate(plain):
            yield from unknown(value, get_args(kind)[0], f"{path}[{number}]")


def expect_known(plain: Any, hint: Any, path: Path) -> None:
    """Check that the schema knows every entry that is about to be written.

    Raises:
        StudyError: There is another one, such as a misspelt name.
    """
    for where, name, known in unknown(plain, hint):
        near = f"{text} " if (text := nearest(name, known)) else ""
        raise StudyError(f"{path}: {where} is not an entry of the schema. {near}{MADE_WRONG}")


def _inner(plain: Any, hint: Any) -> Any:
    """Return the record or list that data of this type is read as; None if it is neither."""
    if get_origin(hint) is Annotated:
        return _inner(plain, get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        return next((kind for part in get_args(hint) if (kind := _inner(plain, part)) is not None), None)
    if is_typeddict(hint) and isinstance(plain, Mapping):
        return hint
    return hint if get_origin(hint) is list and isinstance(plain, list) else None
