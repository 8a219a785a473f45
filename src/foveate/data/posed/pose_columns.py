"""The columns of a table that are a pose: numbers, one row a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from foveate.data.posed.posed_data import PoseColumn
from foveate.data.tables.label_columns import COLUMNS, cells_of
from foveate.data.tables.table import Table
from foveate.errors import DataError, OptionError, first_few, nearest

ANGLES = ("angle", "rotation", "pose", "azimuth", "elevation", "yaw", "pitch", "roll", "degrees")
_ENDINGS = ("_degrees", "_deg")
NONE = "none"
CAPTION = "caption"  # the column of a sentence for each picture


def pose_columns(path: Path, table: Table, asked: str | None) -> tuple[str, ...]:
    """Return the names of the columns that are a pose.

    Args:
        path: Of the table, for messages.
        table: The table.
        asked: Names with commas between them, "none", or None for all columns but path, label, split, group
            and caption.

    Raises:
        OptionError: There is no such column.
        DataError: A column does not hold numbers.
    """
    if asked == NONE:
        return ()
    known = [name for name in table.columns if name and name.lower() not in (*COLUMNS, CAPTION)]
    names = tuple(known) if asked is None else tuple(name.strip() for name in asked.split(","))
    for name in names:
        if name not in table.columns:
            raise OptionError(
                f'pose_columns: {path.name} has no column "{name}". {nearest(name, table.columns)}'
            )
    for name in names:
        odd = [f'{line}: "{cell}"' for line, cell in cells_of(table, name) if _number(cell) is None]
        if odd:
            others = ",".join(other for other in names if other != name) or NONE
            raise DataError(
                f"{path}: column {name} is not a pose: no number in line {first_few(odd)}. Fill it in, "
                f"or say which columns are one: --pose-columns {others}."
            )
    return names


def pose_values(table: Table, names: Sequence[str]) -> Float64[np.ndarray, "n p"]:
    """Return the numbers of these columns, one row a row of the table."""
    rows = [[float(row[name].replace(",", ".")) for name in names] for row in table.rows]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(names))


def described(names: Sequence[str], train: Float64[np.ndarray, "n p"], source: str) -> tuple[PoseColumn, ...]:
    """Return what the columns mean, from their names and from what training holds.

    Raises:
        DataError: A column has one value only, so that nothing can be learnt of it.
    """
    found = []
    for name, values in zip(names, train.T, strict=True):
        low, high = float(values.min()), float(values.max())
        if low == high:
            raise DataError(
                f"{source}: the pose {name} is {low:g} in every training picture, so that no other can be "
                "learnt. Leave the column out: --pose-columns lists the others."
            )
        angle = name.lower() in ANGLES or name.lower().endswith(_ENDINGS)
        found.append(PoseColumn(name, angle, low, high))
    return tuple(found)


def _number(cell: str) -> float | None:
    try:
        value = float(cell.replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
