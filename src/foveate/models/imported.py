"""The user's own model, by the import path of a function that builds it."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from torch import nn

from foveate.errors import OptionError, UnknownNameError
from foveate.trust import expect_trusted

_CLASSES = ("classes", "num_classes")


def import_model(path: str, classes: int, options: Mapping[str, object]) -> nn.Module:
    """Return what ``package.module:function`` builds.

    The module may lie in the current directory. The function is called with ``classes`` (or ``num_classes``,
    if that is what it takes) and the options.

    Raises:
        UnknownNameError: There is no such module or function.
        OptionError: It does not take the arguments, or returns something else than a model.
        TrustError: The path was read from a file that the caller does not trust.
    """
    expect_trusted(path)
    module_name, _, name = path.partition(":")
    with _current_directory():
        function = _function(_module(module_name, path), name, path)
        keyword = _keyword(function, path, options)
        model = function(**{keyword: classes}, **options)
    if not isinstance(model, nn.Module):
        raise OptionError(f"{path} returned a {type(model).__name__}, expected a torch.nn.Module")
    return model


@contextmanager
def _current_directory() -> Iterator[None]:
    """Make the current directory importable for a while, as ``python -m`` does."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _module(name: str, path: str) -> ModuleType:
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise  # the module is there; what it imports is not
        near = [file.stem for file in Path.cwd().glob("*.py")]
        raise UnknownNameError(f"module for {path}", name, near) from None


def _function(module: ModuleType, name: str, path: str) -> Callable[..., object]:
    found = getattr(module, name, None) if name else None
    if not callable(found):
        known = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
        raise UnknownNameError(f"function in {module.__name__}", name or path, known)
    return found


def _keyword(function: Callable[..., object], path: str, options: Mapping[str, object]) -> str:
    """Return what the function calls the number of classes.

    Raises:
        OptionError: It has no word for it, or does not take an option.
    """
    parameters = inspect.signature(function).parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    keyword = next((k for k in _CLASSES if k in parameters), _CLASSES[0] if takes_all else None)
    if keyword is None:
        raise OptionError(
            f"{path}({', '.join(parameters)}) takes no classes. Give it the parameter: "
            f"def {path.partition(':')[2]}(classes: int) -> nn.Module"
        )
    unknown = [option for option in options if option not in parameters]
    if unknown and not takes_all:
        raise OptionError(f'{path} has no option "{unknown[0]}". Its options: {", ".join(parameters)}')
    return keyword
