"""Names for models given as Python objects, so that plans, stores and folders can refer to them.

A function that can be imported is named by its import path, any other object ``python/NAME-HASH``. Only this
process knows the object, but its hash, of code and of the values it keeps, is the same in every process.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import inspect
import sys
import textwrap
from enum import Enum
from pathlib import PurePath
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.models.given import PREFIX, remember
from foveate.tensor_file import tensor_sum


def name_of(model: object) -> str:
    """Return the name of a model: a name as it is, and for an object one by which ``create_model`` finds it.

    Args:
        model: A name; a function that takes ``classes`` and returns a module; or a module, of which every run
            gets a copy with the weights that it has.

    Raises:
        OptionError: It is something else, or keeps a value that cannot be hashed reproducibly.

    Example:
        >>> name_of("resnet8")
        'resnet8'
        >>> name_of(nn.Linear(2, 2)).startswith("python/Linear-")
        True
    """
    if isinstance(model, str):
        return model
    if not callable(model):
        raise OptionError(
            f"model: got a {type(model).__name__}, expected a name, a function that takes classes and "
            "returns a module, or a module"
        )
    path = import_path(model)
    if path is not None:
        return path
    what = type(model).__name__ if isinstance(model, nn.Module) else getattr(model, "__name__", "function")
    name = f"{PREFIX}/{what.strip('<>')}-{digest(model)[:8]}"
    remember(name, model)
    return name


def digest(model: Any) -> str:
    """Return a hash of a module's structure and weights, or of a function's code and the values it keeps."""
    return hashlib.sha256(_spelt(model, "model", (), given=True).encode()).hexdigest()


def _spelt(value: Any, where: str, inside: tuple[int, ...], *, given: bool = False) -> str:
    """Return a text that identifies a value and is the same in every process.

    Args:
        value: The value.
        where: Its name, for messages.
        inside: The objects that contain it, by ``id``: an object may contain itself.
        given: Whether it is the model itself, whose code counts even if it has an import path.

    Raises:
        OptionError: There is no such text.
    """
    if id(value) in inside:
        return "itself"
    within = (*inside, id(value))
    if value is None or type(value) in (bool, int, float, complex, str, bytes):
        return repr(value)
    if isinstance(value, PurePath | torch.dtype | torch.device):
        return f"{type(value).__name__} {value}"
    if isinstance(value, Enum):
        return f"{_spelt(type(value), where, within)} {value.name}"
    if isinstance(value, ModuleType):
        return f"module {value.__name__}"
    if isinstance(value, Tensor):
        return f"tensor {tensor_sum({'': value.detach().cpu()})}"
    if isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject:
        return f"array {value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
    if isinstance(value, nn.Module):
        state = {key: part.detach().cpu() for key, part in value.state_dict().items()}
        return f"{value} {tensor_sum(state)}"
    if type(value) in (tuple, list, dict, set, frozenset):
        return _of_container(value, where, within)
    path = None if given else import_path(value)
    if path is not None:
        return path
    return _of_callable(value, where, within)


def _of_container(value: Any, where: str, within: tuple[int, ...]) -> str:
    if isinstance(value, dict):
        pairs = [(_spelt(key, where, within), part, key) for key, part in value.items()]
        parts = [f"{key}: {_spelt(part, f'{where}[{name!r}]', within)}" for key, part, name in pairs]
    else:
        parts = [_spelt(part, where, within) for part in value]
    if isinstance(value, set | frozenset):
        parts.sort()
    return f"{type(value).__name__}({', '.join(parts)})"


def _of_callable(value: Any, where: str, within: tuple[int, ...]) -> str:
    """Return the text of a function, a class, or a method or partial call of one."""
    if isinstance(value, functools.partial):
        bound = {"func": value.func, "args": value.args, "keywords": value.keywords}
        return "partial" + "".join(f" {_spelt(p, f'{where}.{n}', within)}" for n, p in bound.items())
    if isinstance(value, MethodType):
        kept = _spelt(value.__self__, f"{where}.__self__", within)
        return f"{_spelt(value.__func__, where, within)} of {kept}"
    if isinstance(value, FunctionType):
        return _of_function(value, where, within)
    if isinstance(value, type):
        return _of_class(value, where, within)
    if dataclasses.is_dataclass(value):
        parts = {part.name: getattr(value, part.name) for part in dataclasses.fields(value)}
        spelt = [f" {name}={_spelt(part, f'{where}.{name}', within)}" for name, part in parts.items()]
        return _spelt(type(value), where, within) + "".join(spelt)
    if inspect.isbuiltin(value) and isinstance(value.__self__, ModuleType | None):
        return f"{value.__module__}:{value.__qualname__}"
    if hasattr(value, "__wrapped__"):  # by functools.cache
        return f"{type(value).__qualname__} {_spelt(value.__wrapped__, where, within)}"
    raise OptionError(
        f"{where}: got a {type(value).__qualname__}, which cannot be hashed to the same name in every "
        "process. Expected plain values: numbers, text, lists of them, functions, arrays. Pass these, or an "
        'import path as the model: "package.module:function".'
    )


def _of_function(function: FunctionType, where: str, within: tuple[int, ...]) -> str:
    """Return the source and code of a function, and the values it keeps."""
    source = _source(function)
    text = _of_code(function.__code__, source)
    crowded = function.__name__ == "<lambda>" and source.count("lambda") > 1  # another one in the same line
    if crowded or not source:
        text += _whole(function.__code__)
    return text + _kept(function, source, where, within)


def _of_code(code: CodeType, source: str) -> str:
    plain = [value for value in code.co_consts if not inspect.iscode(value)]
    constants = [sorted(map(repr, value)) if isinstance(value, frozenset) else value for value in plain]
    return f"{source} {code.co_code!r} {constants}"


def _whole(code: CodeType) -> str:
    """Return the code of a function, its names, and the functions inside it."""
    parts = [_whole(value) for value in code.co_consts if inspect.iscode(value)]
    return f"{_of_code(code, '')} {code.co_names} {parts}"


def _kept(function: FunctionType, source: str, where: str, within: tuple[int, ...]) -> str:
    """Return the values a function closes over, and its defaults unless the source shows them."""
    code = function.__code__
    kept: dict[str, Any] = {}
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        if name != "__class__":
            try:
                kept[name] = cell.cell_contents
            except ValueError:  # it is still empty
                kept[name] = None
    if hasattr(function, "__wrapped__") or not _writes_defaults(source):
        defaults = function.__defaults__ or ()
        arguments = code.co_varnames[: code.co_argcount]
        kept |= zip(arguments[len(arguments) - len(defaults) :], defaults, strict=True)
        kept |= function.__kwdefaults__ or {}
    spelt = {name: _spelt(value, f"{where}: its variable {name}", within) for name, value in kept.items()}
    return "".join(f" {name}={text}" for name, text in spelt.items())


def _of_class(kind: type, where: str, within: tuple[int, ...]) -> str:
    """Return the source of a class, or the code of its methods, and the values they keep."""
    source = _source(kind)
    text = f"{source or repr(kind)} {b''!r} []"
    for name, part in vars(kind).items():
        method = getattr(part, "__func__", part)
        if isinstance(method, FunctionType):
            called = f"{where}.{name}"
            kept = _kept(method, _source(method), called, within)
            text += kept if source else f" {name} {_whole(method.__code__)}{kept}"
    return text


def _source(code: Any) -> str:
    try:
        return inspect.getsource(code)
    except (OSError, TypeError):
        return ""


def _writes_defaults(source: str) -> bool:
    """Return whether the source shows all defaults of a function: they are plain values."""
    try:
        (function,) = ast.parse(textwrap.dedent(source)).body
    except (SyntaxError, ValueError):
        return False
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    defaults = [*function.args.defaults, *function.args.kw_defaults]
    return all(default is None or isinstance(default, ast.Constant) for default in defaults)


def import_path(model: object) -> str | None:
    """Return the import path of a function, if it leads to this very function."""
    module, name = getattr(model, "__module__", None), getattr(model, "__qualname__", "")
    if isinstance(model, nn.Module) or not module or module == "__main__" or "<" in name:
        return None
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return f"{module}:{name}" if found is model else None
