"""Models that the caller gives as Python objects: a function that builds one, or a module.

They get a name, so that plans, stores and folders can speak of them as of any other: the import path of a
function that can be imported, else ``python/NAME-HASH``, which means something in this process alone.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from foveate.errors import CheckpointError, OptionError
from foveate.models.imported import call_builder
from foveate.tensor_file import tensor_sum

PREFIX = "python"
Given = Callable[..., nn.Module] | nn.Module
_given: dict[str, Given] = {}


def name_of(model: object) -> str:
    """Return the name of a model: itself if it is one, else one by which ``create_model`` knows the object.

    Args:
        model: A name; a function that takes ``classes`` and returns a module; or a module, of which every run
            gets a copy with the weights that it has.

    Raises:
        OptionError: It is something else.

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
    path = _import_path(model)
    if path is not None:
        return path
    what = type(model).__name__ if isinstance(model, nn.Module) else getattr(model, "__name__", "function")
    name = f"{PREFIX}/{what.strip('<>')}-{_digest(model)[:8]}"
    remember(name, model)
    return name


def remember(name: str, model: Given) -> None:
    """Let ``create_model`` know a model by this name, in this process."""
    _given[name] = model


def build_given(name: str, classes: int, pretrained: bool, options: Mapping[str, object]) -> nn.Module:
    """Return a model that was given.

    Raises:
        CheckpointError: Nothing was given by this name in this process.
        OptionError: It does not take an option, or ``pretrained``.
    """
    full = f"{PREFIX}/{name}"
    if full not in _given:
        raise CheckpointError(
            f"{full} was given as a Python object, in another process. Pass it again: model=..."
        )
    model = _given[full]
    if pretrained:
        raise OptionError(
            f"{full}: pretrained=True is for models by name. Give the model with its weights in it."
        )
    if isinstance(model, nn.Module):
        if options:
            raise OptionError(f"{full} is a module, which takes no options: got {', '.join(options)}")
        return copy.deepcopy(model)
    return call_builder(full, model, classes, options)


def _import_path(model: object) -> str | None:
    """Return where a function can be imported from, if that gives this very function."""
    module, name = getattr(model, "__module__", None), getattr(model, "__qualname__", "")
    if isinstance(model, nn.Module) or not module or module == "__main__" or "<" in name:
        return None
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return f"{module}:{name}" if found is model else None


def _digest(model: Any) -> str:
    """Return a hash of a module's structure and weights, or of a function's source or code."""
    if isinstance(model, nn.Module):
        state = {key: value.detach().cpu() for key, value in model.state_dict().items()}
        return hashlib.sha256(f"{model} {tensor_sum(state)}".encode()).hexdigest()
    code = getattr(model, "__code__", None)
    constants = [value for value in getattr(code, "co_consts", ()) if not inspect.iscode(value)]
    try:
        text = inspect.getsource(model)  # of a lambda the whole line, which may hold another one
    except (OSError, TypeError):
        text = repr(model) if code is None else ""
    return hashlib.sha256(f"{text} {getattr(code, 'co_code', b'')!r} {constants}".encode()).hexdigest()
