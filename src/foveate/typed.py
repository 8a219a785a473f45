"""Whether a value fits an annotation: the one check behind options, configurations and files.

``fitted`` converts the value to the annotation (a list to a tuple, a mapping to a dataclass, where these are
meant) or raises a ``Misfit`` that says where, what came and what was expected. It is stricter than Python:
True is not a number, text is not a sequence, and numbers are finite. Annotations without meaning for plain
values (type variables, shapes of arrays) accept everything.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import inspect
import math
import numbers
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Union, get_args, get_origin

_NAN = "or not finite"
AnyFloat = typing.Annotated[float, _NAN]  # for scores that may be undefined
_WRAPPING = (typing.Annotated, typing.Required, typing.NotRequired)
_SEQUENCES = (list, tuple, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
_MAPPINGS = (dict, collections.abc.Mapping)
_ABSENT = "nothing"
_LONGEST = 60  # letters of a value that a message quotes


@dataclasses.dataclass(frozen=True)
class Range:
    """Bounds of a number, both included, for ``Annotated[float, Range(0, 1)]``."""

    least: float
    most: float


class Misfit(Exception):  # noqa: N818  # callers turn it into an error of the package
    """A value that does not fit.

    Args:
        path: Where it is, such as ``train.lr`` or ``variants[2].spec``; empty for the value itself.
        got: What came, as text.
        expected: What was expected, as text.
    """

    def __init__(self, path: str, got: str, expected: str) -> None:
        super().__init__(f"{path}: got {got}, expected {expected}")
        self.path, self.got, self.expected = path, got, expected


def fitted(value: object, annotation: Any, path: str = "") -> Any:
    """Return ``value``, converted to ``annotation``.

    Args:
        value: Any value.
        annotation: A resolved annotation, as ``typing.get_type_hints`` returns it.
        path: Where the value is, for messages.

    Raises:
        Misfit: It does not fit.

    Example:
        >>> fitted([1, 2], tuple[int, ...])
        (1, 2)
    """
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated and _NAN in inner and isinstance(value, float):
        return value
    if origin in _WRAPPING:
        found = fitted(value, inner[0], path)
        ranges = [note for note in inner[1:] if isinstance(note, Range)]
        is_number = isinstance(found, numbers.Real)
        if is_number and not all(r.least <= found <= r.most for r in ranges):
            raise _misfit(value, annotation, path)
        return found
    if origin in (Union, types.UnionType):
        return _one_of(value, annotation, path)
    if origin is Literal:
        if any(value == word and type(value) is type(word) for word in inner):
            return value
        raise _misfit(value, annotation, path)
    if origin in _SEQUENCES or annotation in (list, tuple):
        return _sequence(value, annotation, path)
    if origin in _MAPPINGS or annotation is dict:
        return _mapping(value, annotation, path)
    if typing.is_typeddict(annotation):
        return _record(value, annotation, path, _required(annotation), dict)
    if dataclasses.is_dataclass(annotation) and isinstance(value, Mapping):
        needed = {f.name for f in dataclasses.fields(annotation) if _needed(f)}
        return _record(value, annotation, path, needed, typing.cast(Any, annotation))
    if not _is_one(value, annotation):
        raise _misfit(value, annotation, path)
    return value


def expected(annotation: Any) -> str:
    """Return in words what fits an annotation.

    Example:
        >>> expected(int | None)
        'a whole number or None'
    """
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in _WRAPPING:
        ranges = [f" from {r.least:g} to {r.most:g}" for r in inner[1:] if isinstance(r, Range)]
        return expected(inner[0]) + "".join(ranges)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(expected(member) for member in inner))
    if origin is Literal:
        words = [repr(word) for word in inner]
        return words[0] if len(words) == 1 else f"one of {', '.join(words)}"
    if origin in _SEQUENCES or annotation in (list, tuple):
        return f"several values, each {expected(inner[0])}" if inner else "several values"
    if origin in _MAPPINGS or typing.is_typeddict(annotation) or dataclasses.is_dataclass(annotation):
        return "values by name"
    return _WORDS.get(annotation, f"a {getattr(annotation, '__name__', annotation)}")


@functools.lru_cache(maxsize=1024)
def hints(of: Callable[..., object]) -> Mapping[str, Any]:
    """Return the annotations of the parameters, by name, without those that cannot be resolved."""
    if isinstance(of, functools.partial):
        return hints(of.func)
    call = of.__init__ if isinstance(of, type) else of  # type: ignore[misc]
    call = inspect.unwrap(call)
    space = getattr(call, "__globals__", {})
    written = getattr(call, "__annotations__", {})
    if isinstance(of, type) and dataclasses.is_dataclass(of):
        return _resolved_fields(of)
    return {name: hint for name, text in written.items() if (hint := _resolved(text, space)) is not None}


def _resolved_fields(of: type) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for base in reversed(of.__mro__):
        space = vars(inspect.getmodule(base)) if inspect.getmodule(base) else {}
        for name, text in inspect.get_annotations(base).items():
            if (hint := _resolved(text, space)) is not None:
                found[name] = hint
    return found


def _resolved(text: object, space: Mapping[str, Any]) -> Any:
    """Return an annotation, or None if its names are known to type checkers only."""
    if not isinstance(text, str):
        return text
    try:
        return eval(text, dict(space))  # source code, not what a user typed
    except Exception:
        return None


def _one_of(value: object, annotation: Any, path: str) -> Any:
    deeper: list[Misfit] = []  # of records with a wrong entry
    for member in get_args(annotation):
        try:
            return fitted(value, member, path)
        except Misfit as misfit:
            deeper += [misfit] if misfit.path != path else []
    raise min(deeper, key=lambda m: m.got == _ABSENT, default=_misfit(value, annotation, path))


def _sequence(value: object, annotation: Any, path: str) -> Any:
    inner, origin = get_args(annotation), get_origin(annotation) or annotation
    if not isinstance(value, list | tuple):
        if origin in (list, tuple) or isinstance(value, str | bytes) or not _is_one(value, origin):
            raise _misfit(value, annotation, path)
        value = list(typing.cast(Iterable[object], value))
    each = inner[:1] * len(value) if origin is not tuple or inner[1:] == (...,) else inner
    if inner and len(each) != len(value):
        raise Misfit(path, f"{len(value)} values", f"{len(each)}")
    items = (
        value
        if not inner
        else [
            fitted(item, kind, f"{path}[{n}]") for n, (item, kind) in enumerate(zip(value, each, strict=True))
        ]
    )
    return list(items) if origin is list else tuple(items)


def _mapping(value: object, annotation: Any, path: str) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        raise _misfit(value, annotation, path)
    keys, values = get_args(annotation) or (Any, Any)
    return {
        fitted(key, keys, f"{path}: the name"): fitted(item, values, _below(path, str(key)))
        for key, item in value.items()
    }


def _record(value: object, kind: Any, path: str, needed: Iterable[str], make: Callable[..., Any]) -> Any:
    """Return a record from its fields by name; fields that it does not know, or sets itself, are ignored."""
    if not isinstance(value, Mapping):
        raise _misfit(value, kind, path)
    missing = sorted(set(needed) - set(value))
    if missing:
        raise Misfit(_below(path, missing[0]), _ABSENT, "a value")
    if typing.is_typeddict(kind):
        known: Mapping[str, Any] = typing.get_type_hints(kind, include_extras=True)
    else:
        own = {field.name for field in dataclasses.fields(kind) if not field.init}
        known = {name: hint for name, hint in _resolved_fields(kind).items() if name not in own}
    return make(
        **{
            name: fitted(value[name], hint, _below(path, name))
            for name, hint in known.items()
            if name in value
        }
    )


def _required(record: Any) -> set[str]:
    """Return the keys that a TypedDict must have; with postponed annotations it does not know NotRequired."""
    noted = typing.get_type_hints(record, include_extras=True)
    return {name for name in record.__required_keys__ if get_origin(noted[name]) is not typing.NotRequired}


def _needed(field: dataclasses.Field[Any]) -> bool:
    return field.init and field.default is field.default_factory is dataclasses.MISSING


def _is_one(value: object, kind: Any) -> bool:
    """Return whether a value is of a plain type."""
    if kind is None or kind is type(None):
        return value is None
    if kind is float:
        return isinstance(value, numbers.Real) and not isinstance(value, bool) and _finite(value)
    if kind is int:
        return isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if kind is bool:
        return isinstance(value, bool)
    if get_origin(kind) is collections.abc.Callable or kind is collections.abc.Callable:
        return callable(value)
    try:
        return isinstance(value, kind)
    except TypeError:  # a type variable, or Any: everything fits
        return True


def _finite(value: numbers.Real) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond all floats
        return False


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _misfit(value: object, annotation: Any, path: str) -> Misfit:
    return Misfit(path, quoted(value), expected(annotation))


def quoted(value: object) -> str:
    """Return a value for a message: shortened, and large objects by their type alone."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | list | tuple | dict):
        if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 256:
            return "a whole number of hundreds of digits"
        text = repr(value[:_LONGEST]) if isinstance(value, str | bytes | list | tuple) else repr(value)
        return text if len(text) <= _LONGEST + 2 else text[:_LONGEST] + "…"
    if isinstance(value, numbers.Number):
        return repr(value)
    shape = getattr(value, "shape", None)
    return type(value).__name__ + (f" of shape {tuple(shape)}" if isinstance(shape, tuple) else "")


_WORDS: dict[Any, str] = {
    bool: "True or False",
    int: "a whole number",
    float: "a finite number",
    str: "text",
    type(None): "None",
    None: "None",
}
