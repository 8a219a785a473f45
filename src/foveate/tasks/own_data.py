"""The data that a task is for, or what to write instead."""

from __future__ import annotations

from typing import TypeVar

from foveate.data.feed import Data
from foveate.errors import DataError

Kind = TypeVar("Kind", bound=Data)


def own_data(data: Data, kind: type[Kind], expected: str) -> Kind:
    """Return data of the kind that a task takes.

    Raises:
        DataError: It is another; ``expected`` says which would do.
    """
    if not isinstance(data, kind):
        raise DataError(
            f"{data.name}: got {type(data).__name__}, expected {expected}. Write --task {data.task}."
        )
    return data
