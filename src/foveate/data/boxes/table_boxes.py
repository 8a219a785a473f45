"""Boxes from a table: one row a box, with the columns path, x1, y1, x2, y2 and label.

    path,x1,y1,x2,y2,label,split
    images/1.jpg,12,30,80,95,car,train
    images/2.jpg,,,,,,train

Corners are in pixels. Paths are relative to the table. A row without corners and label is a picture without
objects. Other usual names of the columns are read too (``image``, ``xmin``, ``class``). The columns split,
group and crowd may be there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from foveate.data.boxes.box_entries import Annotated, BoxEntry
from foveate.data.folders.name_words import split_named
from foveate.data.printable import printable
from foveate.data.tables.table import Table, read_table
from foveate.errors import DataError, FoveateError, first_few

_NAMES = {
    "path": ("path", "image", "image_path", "image_name", "filename", "file_name", "file", "img"),
    "x1": ("x1", "xmin", "x_min", "left"),
    "y1": ("y1", "ymin", "y_min", "top"),
    "x2": ("x2", "xmax", "x_max", "right"),
    "y2": ("y2", "ymax", "y_max", "bottom"),
    "label": ("label", "class", "class_name", "category", "name"),
    "split": ("split",),
    "group": ("group",),
    "crowd": ("crowd", "iscrowd"),
}
_NEEDED = ("path", "x1", "y1", "x2", "y2", "label")
_CORNERS = ("x1", "y1", "x2", "y2")


def is_box_table(path: Path) -> bool:
    """Return whether a table has the columns of boxes."""
    try:
        columns = _columns(read_table(path))
    except FoveateError:
        return False
    return all(name in columns for name in _NEEDED)


def read_box_table(path: Path) -> Annotated:
    """Return what a table holds.

    Raises:
        DataError: A column is missing, a cell is not a number, a picture is not there, or its rows name
            several splits or groups.
        MissingExtraError: Parquet needs pyarrow.
    """
    path = path.resolve()
    table = read_table(path)
    columns = _columns(table)
    missing = [name for name in _NEEDED if name not in columns]
    if missing:
        raise DataError(
            f"{path}: no column {first_few(missing)}; columns: {first_few(table.columns, 12)}. A table of "
            f"boxes has {', '.join(_NEEDED)}."
        )
    rows: dict[str, list[tuple[int, Mapping[str, str]]]] = {}
    for line, row in zip(table.lines, table.rows, strict=True):
        cells = {name: row[column] for name, column in columns.items()}
        if not cells["path"]:
            raise DataError(f"{path}, line {line}: no path. Name the picture, or remove the row.")
        rows.setdefault(cells["path"], []).append((line, cells))
    labels = {printable(cells["label"]) for some in rows.values() for _, cells in some if cells["label"]}
    names = sorted(labels, key=lambda name: (0, int(name), name) if name.isdecimal() else (1, 0, name))
    if not names:
        raise DataError(f"{path}: no row has a label. Give boxes with labels.")
    number = {name: place for place, name in enumerate(names)}
    entries = tuple(_entry(path, name, some, number) for name, some in rows.items())
    _expect_pixels(path, entries)
    return Annotated(tuple(names), entries, tuple(range(1, len(names) + 1)))


def _columns(table: Table) -> dict[str, str]:
    """Return the table's own name of each column that is known."""
    written = {column.strip().lower(): column for column in table.columns}
    return {
        name: written[known]
        for name, usual in _NAMES.items()
        for known in [next((word for word in usual if word in written), None)]
        if known is not None
    }


def _entry(
    table: Path, name: str, rows: Sequence[tuple[int, Mapping[str, str]]], number: Mapping[str, int]
) -> BoxEntry:
    first = f"{table}, line {rows[0][0]}"
    picture = table.parent / name.replace("\\", "/")
    if not picture.is_file():
        raise DataError(f"{first}: no such picture: {picture}. Paths are relative to the table.")
    boxes, labels, crowd = [], [], []
    for line, cells in rows:
        given = [cells[side] for side in _CORNERS]
        if not any(given) and not cells["label"]:
            continue
        boxes.append(_corners(f"{table}, line {line}", given))
        if not cells["label"]:
            raise DataError(f"{table}, line {line}: a box without a label. Name its class.")
        labels.append(number[printable(cells["label"])])
        crowd.append(cells.get("crowd", "").lower() in ("1", "1.0", "true"))
    return BoxEntry(
        name=name.replace("\\", "/"),
        path=picture,
        boxes=boxes,
        labels=labels,
        crowd=crowd,
        split=_split(first, _only(table, "split", rows)),
        group=_only(table, "group", rows) or None,
    )


def _corners(where: str, cells: Sequence[str]) -> tuple[float, ...]:
    try:
        found = tuple(float(cell) for cell in cells)
    except ValueError:
        found = ()
    if not found or not all(abs(number) < 1e7 for number in found):
        raise DataError(
            f"{where}: {', '.join(cells)} are not four numbers of pixels: left, top, right, bottom. Correct "
            "them; leave all four and the label empty for a picture without objects."
        )
    return found


def _only(table: Path, column: str, rows: Sequence[tuple[int, Mapping[str, str]]]) -> str:
    values = {cells.get(column, "") for _, cells in rows}
    if len(values) > 1:
        raise DataError(
            f"{table}, line {rows[0][0]}: the rows of one picture name several in the column {column}: "
            f"{first_few(sorted(values))}. A picture is in one."
        )
    return values.pop()


def _split(where: str, word: str) -> str:
    if not word:
        return ""
    found = split_named(word)
    if found is None:
        raise DataError(f"{where}: split {word}, expected train, val or test.")
    return found


def _expect_pixels(path: Path, entries: Sequence[BoxEntry]) -> None:
    sides = [abs(number) for entry in entries for box in entry.boxes for number in box]
    if sides and max(sides) <= 1:
        raise DataError(
            f"{path}: all corners lie between 0 and 1, so they seem to be shares of the picture. Write "
            "pixels: multiply by its width and height."
        )
