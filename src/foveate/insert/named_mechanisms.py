"""Mechanisms as a spec names them: registered ones, and any module of the user's own by its import path.

``package.module:Class(width=8)@blocks`` inserts a module that foveate does not know, if its output has the
shape of its input. Such a module declares neither what it weighs nor what it costs: its multiply-adds are
counted by running it, and its weights cannot be recorded. A class that fulfils the contract of a mechanism,
as those derived from ``foveate.mechanisms.base.Refine`` do, can be named by its import path too.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from foveate.cost.counters import count_bytes, count_macs, count_parameters
from foveate.errors import FoveateError, OptionError, ShapeError
from foveate.insert.spec import Term
from foveate.mechanisms.base import Mechanism, build, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.ranks import RANKS
from foveate.user_code import import_callable, is_import_path


class Own(Mechanism):
    """A module of the user's own that takes a map (B, C, H, W) and returns one of the same shape.

    Args:
        channels: C; handed on as the first argument, if the class takes one by position.
        path: Where the class is: ``package.module:Class``.
        options: The class's own options.

    Raises:
        OptionError: The class cannot be built with these arguments, or does not make a module.

    Example:
        >>> Own(8, path="torch.nn:Dropout2d", p=0.0)(torch.ones(1, 8, 2, 2)).shape
        torch.Size([1, 8, 2, 2])
    """

    interface = "refine"
    facets = Facets(over=(), driven_by="input", weighting="soft", sites=("features", "skip", "bottleneck"))
    dims = RANKS

    def __init__(self, channels: int, *, path: str, **options: object) -> None:
        super().__init__()
        self.channels, self.path = channels, path
        self.module = _built(path, channels, options)

    def forward(self, x: Tensor) -> Tensor:
        """Run the module.

        Raises:
            ShapeError: It does not return a tensor of the shape that it was given.
        """
        y = self.module(x)
        if not isinstance(y, Tensor) or y.shape != x.shape:
            came = f"a map {tuple(y.shape)}" if isinstance(y, Tensor) else f"a {type(y).__name__}"
            raise ShapeError(
                f"{self.path}: given a map {tuple(x.shape)} it returned {came}, expected a tensor of the "
                "same shape. Wrap it in a module that restores the shape."
            )
        return y

    def cost(self, *size: int) -> Cost:
        """Return parameters, bytes, and the multiply-adds counted on one map of that size."""
        held = next((t for t in [*self.parameters(), *self.buffers()] if t.is_floating_point()), None)
        like = torch.zeros(()) if held is None else held
        macs = count_macs(self.module, torch.zeros(1, self.channels, *size).to(like))
        return Cost(parameters=count_parameters(self.module), macs=macs, bytes=count_bytes(self.module))


def mechanism_class(name: str) -> type[Mechanism]:
    """Return the class of a mechanism, by its registered name or by its import path.

    Raises:
        UnknownNameError: There is no such mechanism, module or class.
    """
    if not is_import_path(name):
        return mechanisms[name]
    found = import_callable(name, "class")
    return found if isinstance(found, type) and issubclass(found, Mechanism) else Own


def build_named(name: str, channels: int, **options: object) -> Mechanism:
    """Build the mechanism that a spec names.

    Raises:
        UnknownNameError: There is no such mechanism, module or class.
        OptionError: It does not have such an option, or lacks what a mechanism needs.
    """
    if not is_import_path(name):
        return build(name, channels, **options)
    cls = mechanism_class(name)
    if cls is Own:
        return Own(channels, path=name, **options)
    if missing := ", ".join(sorted(cls.__abstractmethods__)):
        raise OptionError(
            f"{name} is a mechanism, but does not define {missing}. Define it, or derive the class from "
            "torch.nn.Module instead: its cost is then counted by running it."
        )
    return _called(name, cls, channels, options)


def interface_of(term: Term) -> str:
    """Return the interface of a term's mechanism, or of the mechanism that a control stands in for.

    Raises:
        UnknownNameError: There is no such mechanism, module or class.
        OptionError: A control without ``like=``.
    """
    name = term.mechanism
    if name == "control":
        name = str(dict(term.options).get("like", ""))
        if not name:
            raise OptionError(
                "control needs like=..., the mechanism whose cost it should match, as in control(like=se)"
            )
    return mechanism_class(name).interface


def child_name(name: str) -> str:
    """Return what a mechanism is called as a child of its host: its name, or its class's in snake_case.

    Example:
        >>> child_name("my.blocks:GatedMLP")
        'gated_mlp'
    """
    if not is_import_path(name):
        return name
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", re.split("[:.]", name)[-1])
    return words.lower().strip("_") or "own"


def _built(path: str, channels: int, options: dict[str, object]) -> nn.Module:
    module = _called(path, import_callable(path, "class"), channels, options)
    if not isinstance(module, nn.Module):
        raise OptionError(f"{path} makes a {type(module).__name__}, expected a torch.nn.Module")
    return module


def _called(path: str, cls: Callable[..., Any], channels: int, options: dict[str, object]) -> Any:
    """Call the class with the channels first, if it takes anything by position."""
    try:
        parameters = inspect.signature(cls).parameters.values()
    except ValueError:  # built in, without a signature
        parameters = {}.values()
    first = next((p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)), None)
    given = () if first is None or first.name in options else (channels,)
    try:
        return cls(*given, **options)
    except FoveateError:
        raise
    except Exception as error:  # whatever the user's own constructor raises
        written = ", ".join([*map(str, given), *(f"{k}={v!r}" for k, v in options.items())])
        known = ", ".join(str(p) for p in parameters)
        raise OptionError(
            f"{path}({written}) cannot be built: {error}. It takes: {known or 'nothing'}"
        ) from error
