"""The pictures that a user gives, and what is asked about each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foveate.errors import OptionError
from foveate.tasks.picture_inputs import listed


def asked_questions(inputs: object, goal: str | None) -> tuple[list[object], list[str]]:
    """Return pictures and a question for each.

    Raises:
        OptionError: A question is missing, or is not text.
    """
    both = (
        isinstance(inputs, list | tuple)
        and bool(inputs)
        and all(isinstance(one, list | tuple) and len(one) == 2 and isinstance(one[1], str) for one in inputs)
    )
    if both and goal is None:
        return [one[0] for one in inputs], [one[1] for one in inputs]  # type: ignore[attr-defined]
    if both or not isinstance(goal, str) or not goal.strip():
        raise OptionError(
            "goal: this model answers questions about pictures. Give one with goal= (--goal "
            '"how many dogs are there?"), or in Python pairs: [(picture, question), ...].'
        )
    pictures = listed(inputs)
    return pictures, [goal] * len(pictures)


def expect_no_options(options: Mapping[str, Any]) -> None:
    """Refuse options that no answer to a question depends on.

    Raises:
        OptionError: There is one.
    """
    if options:
        name = next(iter(options)).replace("_", "-")
        raise OptionError(
            f"--{name}: this model answers questions and writes no files. Leave the option out."
        )
