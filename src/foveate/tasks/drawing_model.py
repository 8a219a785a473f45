"""What is asked of a model that draws pictures: its parts, its methods and its shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor, nn

from foveate.calls import parse_call
from foveate.errors import FoveateError, OptionError, ShapeError, in_one_line
from foveate.models.names import models, resolve
from foveate.running import eval_no_grad

_NEEDED = ("generator", "discriminator", "judge", "judge_both", "noise")


def expect_to_draw(name: str, wanted: Mapping[str, object]) -> None:
    """Raise if a model by name does not draw, or if its options contradict the data.

    Raises:
        ShapeError: It is a model of another kind.
        OptionError: One of its options is not what is ``wanted``.
    """
    source, bare = resolve(name)
    draws = bare in models and hasattr(models[bare], "judge_both") if source == "foveate" else False
    if source not in ("import", "python") and not draws:
        raise ShapeError(f"{name}: draws no pictures, as generation needs it. Choose attention_gan.")
    options = parse_call(name)[1]
    for option, value in wanted.items():
        if options.get(option, value) != value:
            how = "Write --size." if option == "size" else "It follows from the data: leave it out."
            raise OptionError(f"{name}: {option}={options[option]}, but the data has {value}. {how}")


def expect_methods(name: str, model: nn.Module, *, mismatched: bool) -> None:
    """Raise unless a model has what training calls.

    Raises:
        ShapeError: It has not.
    """
    needed = (*_NEEDED, *["judge_mismatched"] * mismatched)
    missing = [part for part in needed if not hasattr(model, part)]
    if missing:
        raise ShapeError(
            f"{name}: {type(model).__name__} has no {', '.join(missing)}, as generation needs it. Choose "
            "attention_gan, or give yours what AttentionGAN has."
        )


def draw_and_judge(name: str, model: nn.Module, given: tuple[Tensor, ...], size: int) -> None:
    """Draw two pictures and judge them.

    Raises:
        ShapeError: That is not possible, or gives other shapes.
    """
    gan, expected = cast(Any, model), (2, 3, size, size)
    try:
        with eval_no_grad(model):
            drawn = gan(*given)
            scores = gan.judge(drawn, *given[1:])
    except FoveateError:
        raise
    except Exception as error:  # whatever a foreign network raises
        raise ShapeError(f"{name} does not draw for such goals: {in_one_line(error)}") from error
    if tuple(drawn.shape) != expected or tuple(scores.shape) != (2, 1):
        raise ShapeError(
            f"{name}: drew {tuple(drawn.shape)} and scored {tuple(scores.shape)}, expected pictures "
            f"{expected} and scores (2, 1)."
        )
