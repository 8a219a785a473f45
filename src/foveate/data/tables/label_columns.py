"""Which columns of a table are labels, and labels as they are written in cells."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from foveate.data.label_sets import truth_of
from foveate.data.tables.table import Table
from foveate.errors import DataError, OptionError, first_few, nearest

COLUMNS = ("path", "label", "mask", "split", "group")
_NAN = ("nan", "-nan", "<na>")
_NUMBER = re.compile(
    r"[+-]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf|infinity|nan)", re.IGNORECASE
)


def label_columns(path: Path, table: Table, asked: Sequence[str] | str | None) -> tuple[str, ...]:
    """Return the columns of 0 and 1 that are labels; none if there is a column of labels or masks."""
    if asked is not None:
        names = tuple(name.strip() for name in asked.split(",")) if isinstance(asked, str) else tuple(asked)
        for name in names:
            if name not in table.columns:
                raise OptionError(
                    f'labels: {path.name} has no column "{name}". {nearest(name, table.columns)}'
                )
        return names
    there = {"label", "mask"} & set(table.columns)
    if len(there) == 2:
        raise DataError(f"{path}: has both columns label and mask. Remove the one that is not the target.")
    if there:
        return ()
    others = [name for name in table.columns if name and name not in COLUMNS]
    telling = [name for name in others if any(truth_of(row[name]) is not None for row in table.rows)]
    mixed = [name for name in others if any(truth_of(row[name]) is None for row in table.rows)]
    if not telling:
        refuse_column(path, "label", table.columns)
    if mixed:
        line, cell = next(pair for pair in cells_of(table, mixed[0]) if truth_of(pair[1]) is None)
        raise DataError(
            f'{path}: has no column label, and not all others hold 0 and 1: {mixed[0]} is "{cell}" in line '
            f"{line}. Say which columns are labels: --labels "
            f"{','.join(name for name in others if name not in mixed) or telling[0]} (in Python labels=)."
        )
    return tuple(others)


def refuse_column(path: Path, column: str, columns: Sequence[str]) -> NoReturn:
    """Refuse a table without a column.

    Raises:
        DataError: always; it names the nearest column.
    """
    raise DataError(
        f"{path}: has no column {column}. {nearest(column, columns)} Columns are path, label or mask and, if "
        "wanted, split and group; or path and a column of 0 and 1 for each label."
    )


def cells_of(table: Table, name: str) -> list[tuple[int, str]]:
    """Return the cells of a column with their lines."""
    return [(line, row[name]) for line, row in zip(table.lines, table.rows, strict=True)]


def whole_labels(path: Path, table: Table, labels: Sequence[str]) -> list[str]:
    """Return labels; class numbers written as 1.0 or +1 become 1.

    A number is what spreadsheets write as one: "1_1" is a word.

    Raises:
        DataError: one is NaN, or all are numbers and some are not whole.
    """
    nan = [line for line, label in cells_of(table, "label") if label.lower() in _NAN]
    if nan:
        raise DataError(
            f"{path}: column label is NaN in line {first_few(nan)}. Fill it in, or leave the rows out."
        )
    if not all(map(_NUMBER.fullmatch, labels)):
        return list(labels)  # words
    numbers = [float(label) for label in labels]
    odd = [
        f"{label} (line {line})"
        for line, label, number in zip(table.lines, labels, numbers, strict=True)
        if not (math.isfinite(number) and number.is_integer())
    ]
    if odd:
        raise DataError(
            f"{path}: labels are fractions: {first_few(odd)}. Classes are expected: write a word or a "
            "whole number for each image."
        )
    return [
        label.removeprefix("+") if label.lstrip("+-").isdecimal() else str(int(number))
        for label, number in zip(labels, numbers, strict=True)
    ]
