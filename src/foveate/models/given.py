"""Models of the user's own: by the import path of a function that builds one, or given as Python objects."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping

from torch import nn

from foveate.errors import CheckpointError, OptionError
from foveate.user_code import current_directory, import_callable

PREFIX = "python"  # of the names of models given as Python objects: python/NAME-HASH
Given = Callable[..., nn.Module] | nn.Module
_CLASSES = ("classes", "num_classes")
_given: dict[str, Given] = {}


def import_model(path: str, classes: int, options: Mapping[str, object]) -> nn.Module:
    """Return what ``package.module:function`` builds.

    The module may lie in the current folder. The function is called with ``classes`` (or ``num_classes``, if
    that is its parameter) and the options.

    Raises:
        UnknownNameError: There is no such module or function.
        OptionError: It does not take the arguments, or does not return a model.
        TrustError: The path was read from a file that the caller does not trust.
    """
    function = import_callable(path, "function")
    with current_directory():  # so may modules that it imports late
        return call_builder(path, function, classes, options)


def call_builder(
    path: str, function: Callable[..., object], classes: int, options: Mapping[str, object]
) -> nn.Module:
    """Return what the user's own function builds.

    Args:
        path: Its name, for messages.
        function: Takes ``classes`` or ``num_classes``, and the options.
        classes: Length of the output.
        options: By name.

    Raises:
        OptionError: It does not take the arguments, or does not return a model.
    """
    keyword = _keyword(function, path, options)
    arguments = {keyword: classes, **options}
    try:
        inspect.signature(function).bind(**arguments)
    except TypeError as error:
        raise OptionError(
            f"{path} cannot be called with {', '.join(f'{name}=...' for name in arguments)} ({error}). "
            "Give a function that takes the number of classes, and whose other parameters have defaults."
        ) from None
    model = function(**arguments)
    if not isinstance(model, nn.Module):
        raise OptionError(f"{path} returned a {type(model).__name__}, expected a torch.nn.Module")
    return model


def _keyword(function: Callable[..., object], path: str, options: Mapping[str, object]) -> str:
    """Return the function's parameter for the number of classes.

    Raises:
        OptionError: It has none, or does not take an option.
    """
    parameters = inspect.signature(function).parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    keyword = next((k for k in _CLASSES if k in parameters), _CLASSES[0] if takes_all else None)
    if keyword is None:
        raise OptionError(
            f"{path}({', '.join(parameters)}) does not take the number of classes. Add the parameter: "
            f"def {path.partition(':')[2]}(classes: int) -> nn.Module"
        )
    unknown = [option for option in options if option not in parameters]
    if unknown and not takes_all:
        raise OptionError(f'{path} has no option "{unknown[0]}". Its options: {", ".join(parameters)}')
    return keyword


def remember(name: str, model: Given) -> None:
    """Make a model known to ``create_model`` by this name, in this process."""
    _given[name] = model


def build_given(name: str, classes: int, pretrained: bool, options: Mapping[str, object]) -> nn.Module:
    """Return a model that was given as a Python object.

    Raises:
        CheckpointError: No model of this name was given in this process.
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
            f"{full}: pretrained=True is for models given by name. Give the model with its weights loaded."
        )
    if isinstance(model, nn.Module):
        if options:
            raise OptionError(f"{full} is a module, which takes no options: got {', '.join(options)}")
        return copy.deepcopy(model)
    return call_builder(full, model, classes, options)
