"""From the user's source to its data and the task that it is for."""

from __future__ import annotations

from typing import cast

from foveate.data.feed import Data
from foveate.errors import DataError
from foveate.tasks.base import Task, task_named, tasks

_USUAL = "classification"  # where nothing else recognises a source; it opens any images


def open_source(source: object = None, /, task: str | None = None, **options: object) -> Data:
    """Open data.

    Args:
        source: A path, a text such as "scenes", or a Python object; data that was opened already is returned
            as it is.
        task: Its name; if None the first one that knows such a source, else the one that opens any images.
        options: Of the opener.

    Raises:
        DataError: There is no such data, or it cannot be used.
        OptionError, UnknownNameError: There is no such option or task.
    """
    if source == "":
        raise DataError(
            "the name of the data is empty. Give a folder, a file, or scenes: the built-in images."
        )
    if is_data(source):
        return cast(Data, source)
    return task_for(source, task).open(source, **options)


def is_data(source: object) -> bool:
    """Return whether something is data that was opened already."""
    return all(hasattr(source, name) for name in ("name", "fingerprint", "origin", "items", "task"))


def task_for(source: object, task: str | None) -> type[Task]:
    """Return the task that opens a source: the one that is named, else the first that recognises it."""
    if task is not None:
        return task_named(task)[0]
    return next((kind for kind in tasks.values() if kind.opens(source)), tasks[_USUAL])
