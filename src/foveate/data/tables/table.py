"""A table in a file: CSV as spreadsheets of any country write it, or Parquet, as rows of text.

The header tells commas, semicolons and tabs apart. UTF-8 and UTF-16 are read with or without a byte-order
mark, anything else as Windows-1252.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from foveate.errors import DataError, MissingExtraError

Row = dict[str, str]
_DELIMITERS = (",", ";", "\t")
_LIST = "|"  # joins the parts of a Parquet cell that is a list
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
OLD = "cp1252"  # what tables that are not Unicode are written in


@dataclass(frozen=True)
class Table:
    """Rows of text.

    Args:
        columns: Their names, as they are written.
        rows: One mapping from names to cells a row, blanks at the ends of cells removed.
        lines: The line of the file on which each row starts; the header is line 1.
        encoding: Of the file.
    """

    columns: tuple[str, ...]
    rows: Sequence[Row]
    lines: Sequence[int]
    encoding: str = "utf-8"


def read_table(path: Path) -> Table:
    """Return the table in a .csv, .tsv or .parquet file.

    Raises:
        DataError: it cannot be read, two columns have one name, or a row has more cells than there are
            columns.
        MissingExtraError: Parquet needs pyarrow.
    """
    return _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_text(path)


def _read_text(path: Path) -> Table:
    try:
        text, encoding = _decoded(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error}). Save it as UTF-8 with commas.") from None
    if "\0" in text:
        raise DataError(f"{path}: holds zero bytes, so it is not text. Save it as UTF-8 text with commas.")
    delimiter, text, first = _delimiter(text, path.suffix.lower())
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    lines, cells, ended = [], [], first
    try:
        for row in reader:
            if row:
                lines.append(ended + 1)
                cells.append([cell.strip() for cell in row])
            ended = reader.line_num + first
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num + first}: {error}. Is a quote left open?") from None
    columns = tuple(cells[0]) if cells else ()
    _check_shape(path, columns, cells[1:], lines[1:])
    rows = [dict(zip(columns, row + [""] * (len(columns) - len(row)), strict=True)) for row in cells[1:]]
    return Table(columns, rows, lines[1:], encoding)


def _decoded(data: bytes) -> tuple[str, str]:
    if data.startswith(_WIDE):
        return data.decode("utf-16"), "utf-16"
    try:
        return data.decode("utf-8-sig"), "utf-8"
    except UnicodeDecodeError:
        return data.decode(OLD), OLD


def _delimiter(text: str, suffix: str) -> tuple[str, str, int]:
    """Return the delimiter, the text without Excel's ``sep=`` line, and how many lines were dropped."""
    head, _, rest = text.partition("\n")
    head = head.rstrip("\r")
    if head.lower().startswith("sep=") and len(head) == len("sep=;"):
        return head[-1], rest, 1
    if suffix == ".tsv" and "\t" in head:
        return "\t", text, 0
    return max(_DELIMITERS, key=head.count), text, 0  # the first of them if there is none


def _check_shape(
    path: Path, columns: Sequence[str], rows: Sequence[Sequence[str]], lines: Sequence[int]
) -> None:
    twice = [name for name, count in Counter(columns).items() if name and count > 1]
    if twice:
        raise DataError(f"{path}: two columns are called {twice[0]}. Rename one.")
    for line, row in zip(lines, rows, strict=True):
        if len(row) > len(columns):
            raise DataError(
                f"{path}, line {line}: {len(row)} cells for {len(columns)} columns. Quote cells that hold "
                "the separator."
            )


def _read_parquet(path: Path) -> Table:
    try:
        from pyarrow import ArrowException, parquet  # type: ignore[import-untyped]
    except ImportError:
        raise MissingExtraError("pyarrow", "parquet", "reading a Parquet manifest") from None
    try:
        table = parquet.read_table(path)
    except (ArrowException, OSError) as error:
        raise DataError(
            f"{path}: cannot be read as Parquet ({error}). Write it again, or give a .csv."
        ) from None
    _check_shape(path, table.column_names, (), ())
    rows = [{key: _text(cell) for key, cell in row.items()} for row in table.to_pylist()]
    return Table(tuple(table.column_names), rows, range(2, len(rows) + 2))


def _text(cell: object) -> str:
    if isinstance(cell, list):
        return _LIST.join(map(_text, cell))
    return "" if cell is None else str(cell).strip()
