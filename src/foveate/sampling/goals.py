"""From what a user asks for to conditions: classes and poses, fixed or from one to another, and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from foveate.data.posed.posed_data import PoseColumn
from foveate.errors import OptionError, nearest
from foveate.sampling.sentences import Sentences

_NO_CLASS = "this model was trained without classes. Leave it out."
_NO_POSE = "this model was trained without a pose. Leave it out."


@dataclass(frozen=True, eq=False)
class Goals:
    """What N pictures are asked for.

    Args:
        conditions: float32 (N, K + P + T), as a generator takes them.
        names: What is asked for, one text a picture: "class 3, angle 30".
        moves: Whether class or pose goes from one to another.
    """

    conditions: Float32[np.ndarray, "n k"]
    names: tuple[str, ...]
    moves: bool


def read_goals(
    classes: Sequence[str],
    columns: Sequence[PoseColumn],
    number: int,
    *,
    label: str | int | None = None,
    pose: str | float | Sequence[float] | None = None,
    seed: int = 0,
    sentences: Sentences | None = None,
    words: str | None = None,
) -> Goals:
    """Return what is asked for.

    Args:
        classes: Names that the model knows; empty for none.
        columns: What its poses consist of; empty for none.
        number: N.
        label: A class by its name or number; "3:5" from one to another; None for all in turn.
        pose: A number for each column, as a sequence or a text with commas; "-45:45" from one to another;
            None for poses drawn evenly from the range of training.
        seed: Decides poses that are drawn.
        sentences: What a model knows of sentences; None for one that takes none.
        words: A sentence; None for captions of training in turn.

    Raises:
        OptionError: There is no such class or pose, the model has none, or it cannot read the sentence.
    """
    steps = np.linspace(0, 1, number)[:, None]
    mixed, named, moving = _classes(classes, label, number, steps)
    values, goes = _poses(columns, pose, number, steps, seed)
    parts = [column.encoded(some) for column, some in zip(columns, values.T, strict=True)]
    if sentences is not None:
        spoken = sentences.asked(words, number)
        parts.append(sentences.numbers(spoken))
    elif words is not None:
        raise OptionError(f"--words {words!r}: this model was trained without captions. Leave it out.")
    else:
        spoken = ("",) * number
    told = [
        ", ".join(
            [
                *([sentence] if sentence else []),
                *([f"class {name}"] if name else []),
                *(f"{column.name} {value:.3g}" for column, value in zip(columns, row, strict=True)),
            ]
        )
        for name, row, sentence in zip(named, values, spoken, strict=True)
    ]
    conditions = np.concatenate([mixed, *parts], axis=1).astype(np.float32)
    return Goals(conditions, tuple(told), moving or goes)


def _classes(
    classes: Sequence[str], label: str | int | None, number: int, steps: np.ndarray
) -> tuple[np.ndarray, list[str], bool]:
    if not classes:
        if label is not None:
            raise OptionError(f"--class {label}: {_NO_CLASS}")
        return np.zeros((number, 0)), [""] * number, False
    rows = np.eye(len(classes))
    if label is None:
        chosen = [n % len(classes) for n in range(number)]
        return rows[chosen], [classes[n] for n in chosen], False
    text = str(label)
    if text in classes or ":" not in text:
        place = _class_number(classes, text)
        return np.repeat(rows[place : place + 1], number, axis=0), [classes[place]] * number, False
    first, last = (_class_number(classes, part) for part in text.split(":", 1))
    names = [f"{classes[first]} to {classes[last]}"] * number
    return (1 - steps) * rows[first] + steps * rows[last], names, True


def _class_number(classes: Sequence[str], text: str) -> int:
    if text in classes:
        return list(classes).index(text)
    if text.isdecimal() and int(text) < len(classes):
        return int(text)
    raise OptionError(
        f"--class {text}: this model has no such class. It has {len(classes)}, by name or by number from 0 "
        f"to {len(classes) - 1}. {nearest(text, classes)}"
    )


def _poses(
    columns: Sequence[PoseColumn],
    pose: str | float | Sequence[float] | None,
    number: int,
    steps: np.ndarray,
    seed: int,
) -> tuple[Float64[np.ndarray, "n p"], bool]:
    if not columns:
        if pose is not None:
            raise OptionError(f"--pose {pose}: {_NO_POSE}")
        return np.zeros((number, 0)), False
    low, high = (np.array([getattr(column, end) for column in columns]) for end in ("low", "high"))
    if pose is None:
        return np.random.Generator(np.random.Philox(seed)).uniform(low, high, (number, len(columns))), False
    text = pose if isinstance(pose, str) else ",".join(map(str, np.atleast_1d(pose)))
    ends = [_numbers(columns, part) for part in text.split(":", 1)]
    if len(ends) == 1:
        return np.repeat(ends[0][None], number, axis=0), False
    return (1 - steps) * ends[0] + steps * ends[1], True


def _numbers(columns: Sequence[PoseColumn], text: str) -> Float64[np.ndarray, " p"]:
    names = ",".join(column.name for column in columns)
    try:
        found = np.array([float(part) for part in text.split(",")])
    except ValueError:
        raise OptionError(f"--pose {text}: expected numbers for {names}, such as --pose 30") from None
    if len(found) != len(columns):
        raise OptionError(f"--pose {text}: got {len(found)} numbers, expected one for each of {names}")
    for column, value in zip(columns, found, strict=True):
        slack = 1e-9 + 0.01 * (column.high - column.low)
        if not column.low - slack <= value <= column.high + slack:
            raise OptionError(
                f"--pose {text}: {column.name} {value:g} is outside of what training showed, "
                f"{column.low:.4g} to {column.high:.4g}. Choose a value within."
            )
    return found
