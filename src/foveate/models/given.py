"""Models that the caller gives as Python objects: a function that builds one, or a module.

They get a name, so that plans, stores and folders can speak of them as of any other: the import path of a
function that can be imported, else ``python/NAME-HASH``, which means something in this process alone.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

from torch import nn

from foveate.errors import CheckpointError, OptionError
from foveate.models.given_digest import digest, import_path
from foveate.models.imported import call_builder

PREFIX = "python"
Given = Callable[..., nn.Module] | nn.Module
_given: dict[str, Given] = {}


def name_of(model: object) -> str:
    """Return the name of a model: itself if it is one, else one by which ``create_model`` knows the object.

    Args:
        model: A name; a function that takes ``classes`` and returns a module; or a module, of which every run
            gets a copy with the weights that it has.

    Raises:
        OptionError: It is something else, or a function that keeps a value of which no name can be made.

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
