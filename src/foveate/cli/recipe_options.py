"""How to train, as options of a command: one for each field of ``TrainConfig``, with its text as the help."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter, Token
from docstring_parser.attrdoc import add_attribute_docstrings
from docstring_parser.common import Docstring

from foveate.errors import OptionError
from foveate.recipe import TrainConfig

TRAINING = Group("Training", sort_key=2)
_ELSEWHERE = {"seed"}  # of the commands themselves


class _Given:
    """The options of training that were given; None leaves one to what suits task and data."""

    def config(self, usual: TrainConfig, *, seed: int = 0) -> TrainConfig:
        """Return the whole recipe.

        Args:
            usual: What holds where nothing was given.
            seed: The run's seed.

        Raises:
            OptionError: A value is out of its range.
        """
        given = {name: value for name, value in vars(self).items() if value is not None}
        if given.get("clip") == 0:
            given["clip"] = None
        return replace(usual, **given, seed=seed)


def _options() -> Any:
    types = typing.get_type_hints(TrainConfig)
    helps = _helps()
    listed = [
        (
            field.name,
            Annotated[types[field.name] | None, _parameter(types[field.name], helps[field.name])],
            dataclasses.field(default=None),
        )
        for field in fields(TrainConfig)
        if field.name not in _ELSEWHERE
    ]
    made = dataclasses.make_dataclass("RecipeOptions", listed, bases=(_Given,), frozen=True)
    made.__module__ = __name__  # where the command line looks for it
    return Parameter(name="*", group=TRAINING)(made)


def _parameter(hint: Any, text: str) -> Parameter:
    """Return how an option is read: a whole number must be one, where the parser would round a fraction."""
    is_whole = int in (hint, *typing.get_args(hint)) and float not in (hint, *typing.get_args(hint))
    return Parameter(help=text, converter=_whole) if is_whole else Parameter(help=text)


def _whole(_: Any, tokens: Sequence[Token]) -> int:
    try:
        return int(tokens[0].value)
    except ValueError:
        raise OptionError(f"{tokens[0].keyword}: got {tokens[0].value}, expected a whole number") from None


def _helps() -> dict[str, str]:
    """Return the text under each field, and the field's default."""
    read = Docstring()
    add_attribute_docstrings(TrainConfig, read)
    texts = {item.args[1]: " ".join((item.description or "").split()) for item in read.meta}
    defaults = {field.name: field.default for field in fields(TrainConfig)}
    return {name: f"{text}{_shown(defaults[name])}" for name, text in texts.items()}


def _shown(default: object) -> str:
    if default is None or default is False:
        return ""
    return f" Default: {default:g}." if isinstance(default, float) else f" Default: {default}."


if TYPE_CHECKING:
    RecipeOptions = _Given
else:
    RecipeOptions = _options()
