"""An import hook that holds the package's shape annotations against what its functions take and return.

Every function of the package whose annotations state shapes (jaxtyping) is wrapped as it is imported. The
check follows the call, so that wrong inputs still get the package's own errors: whatever a function accepts
and returns must fit, with one size for each letter. All other annotations are left to mypy, and code that
torch traces is not checked.
"""

from __future__ import annotations

import ast
import functools
import importlib.abc
import importlib.machinery
import inspect
import sys
from collections.abc import Callable, Sequence
from types import CodeType, ModuleType
from typing import Any, get_args

import jaxtyping
import torch
from beartype.door import is_bearable

NAME = "__shape_checked__"


def install(package: str) -> None:
    """Wrap the functions of those modules of a package that are imported from now on."""
    sys.meta_path.insert(0, _Finder(package))


def shape_checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with its shapes checked, or as it is where it states none."""
    shapes = _shapes(function)
    if not shapes:
        return function
    result = shapes.pop("return", None)
    parameters = inspect.signature(function).parameters.values()
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]

    @functools.wraps(function)
    def wrapped(*args: Any, **options: Any) -> Any:
        found = function(*args, **options)
        if torch.compiler.is_compiling():
            return found
        given = {**dict(zip(names, args, strict=False)), **options}  # much faster than to bind a signature
        with jaxtyping.jaxtyped("context"):
            for name, hint in shapes.items():
                if name in given:
                    _expect(given[name], hint, f"{function.__qualname__}: {name}")
            if result is not None:
                _expect(found, result, f"{function.__qualname__}: what it returned")
        return found

    return wrapped


def _expect(value: Any, hint: Any, what: str) -> None:
    if not (isinstance(value, hint) if isinstance(hint, type) else is_bearable(value, hint)):
        came = getattr(value, "dtype", type(value)), tuple(getattr(value, "shape", ()))
        raise TypeError(f"{what} is {came[0]} {came[1]}, expected {hint}")


def _shapes(function: Callable[..., Any]) -> dict[str, Any]:
    found = {}
    for name, text in function.__annotations__.items():
        try:
            hint = eval(text, function.__globals__) if isinstance(text, str) else text
        except NameError:  # of type checkers only, or of a class that comes later
            continue
        if states_shape(hint):
            found[name] = hint
    return found


def states_shape(hint: Any) -> bool:
    """Return whether a type is, or contains, an array with a shape."""
    if isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    return any(states_shape(inner) for inner in get_args(hint))


class _Decorate(ast.NodeTransformer):
    """Decorate functions and methods, innermost, but none that a function defines."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.decorator_list.append(ast.copy_location(ast.Name(NAME, ast.Load()), node))
        return node


class _Loader(importlib.machinery.SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        tree = _Decorate().visit(ast.parse(self.get_data(path), path))
        return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__[NAME] = shape_checked
        super().exec_module(module)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name.partition(".")[0] != self.package:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec
