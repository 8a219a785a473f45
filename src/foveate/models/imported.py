"""The user's own model, by the import path of a function that builds it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

from torch import nn

from foveate.errors import OptionError
from foveate.user_code import current_directory, import_callable

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
    function = import_callable(path, "function")
    with current_directory():  # what it imports late may lie there too
        return call_builder(path, function, classes, options)


def call_builder(
    path: str, function: Callable[..., object], classes: int, options: Mapping[str, object]
) -> nn.Module:
    """Return what a function of the user's own builds.

    Args:
        path: What messages call it.
        function: Takes ``classes`` or ``num_classes``, and the options.
        classes: Length of the output.
        options: By name.

    Raises:
        OptionError: It does not take the arguments, or returns something else than a model.
    """
    keyword = _keyword(function, path, options)
    model = function(**{keyword: classes}, **options)
    if not isinstance(model, nn.Module):
        raise OptionError(f"{path} returned a {type(model).__name__}, expected a torch.nn.Module")
    return model


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
