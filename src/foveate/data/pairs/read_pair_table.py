"""Two columns of a table of sentences: TSV, CSV, JSON Lines or Parquet, row by row.

A TSV has no quotes: a quotation mark is part of the sentence. Its first line is a header only if it names the
columns; otherwise the first two columns are source and target. A line of JSON is an object with the two
sentences, or with both under "translation".
"""

from __future__ import annotations

import csv
import io
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foveate.data.folders.name_words import split_named
from foveate.data.pairs.find_files import SOURCES, TARGETS, first_line, languages_of
from foveate.data.pairs.lines import GrowingLines, Lines
from foveate.data.pairs.part import Part
from foveate.data.pairs.read_lines import read_bytes, read_lines
from foveate.errors import DataError, MissingExtraError

_SPLIT = "split"
_DELIMITERS = (",", ";", "\t")
Row = tuple[int, Sequence[str | None]]  # a line's number, and its cells; None for what is not text


@dataclass(frozen=True)
class _Table:
    columns: Sequence[str]
    rows: Iterable[Row]


def read_pair_table(path: Path, source: str | None, target: str | None) -> tuple[dict[str, Part], str, str]:
    """Return the pairs of a table by split, under the empty name if it has no column ``split``.

    Args:
        path: The table; with .gz behind its ending it is decompressed.
        source: The column of the sentences to translate, if the user names it.
        target: That of the translations.

    Returns:
        The parts, and the names of the two columns.

    Raises:
        DataError: It cannot be read, or a row has no such cell.
        OptionError: The columns cannot be distinguished, or are not there.
        MissingExtraError: Parquet needs pyarrow.
    """
    table = _opened(path, (source, target))
    columns = list(table.columns)
    texts = [name for name in columns if name.lower() != _SPLIT]
    first, second = languages_of(path, texts, source, target, what="columns")
    places = (columns.index(first), columns.index(second))
    split = next((place for place, name in enumerate(columns) if name.lower() == _SPLIT), None)
    found: dict[str, tuple[GrowingLines, GrowingLines, array[int]]] = {}
    for line, cells in table.rows:
        if len(cells) <= max(places):
            raise DataError(
                f"{path}, line {line}: {len(cells)} columns, expected {len(columns)}: {', '.join(columns)}. "
                "Is a tab or quote missing?"
            )
        part = "" if split is None else _split_of(path, line, cells, split)
        sentences, translations, numbers = found.setdefault(
            part, (GrowingLines(), GrowingLines(), array("q"))
        )
        for side, place in ((sentences, places[0]), (translations, places[1])):
            text = cells[place]
            if text is None:
                raise DataError(
                    f'{path}, line {line}: "{columns[place]}" is missing or not text. Correct it.'
                )
            side.add(text)
        numbers.append(line)
    parts = {
        name: Part(a.lines(), b.lines(), np.array(lines, dtype=np.int64))
        for name, (a, b, lines) in found.items()
    }
    return parts, first, second


def _split_of(path: Path, line: int, cells: Sequence[str | None], place: int) -> str:
    text = (cells[place] or "").strip() if place < len(cells) else ""
    found = split_named(text)
    if found is None:
        raise DataError(f'{path}, line {line}: split "{text}" is unknown. Write train, val or test.')
    return found


def _opened(path: Path, asked: tuple[str | None, str | None]) -> _Table:
    ending = Path(path.name.lower().removesuffix(".gz")).suffix
    if ending == ".parquet":
        return _parquet(path)
    if ending in (".jsonl", ".ndjson"):
        return _json_lines(path, read_lines(path))
    return _csv(path) if ending == ".csv" else _tabs(path, read_lines(path), asked)


def _tabs(path: Path, lines: Lines, asked: tuple[str | None, str | None]) -> _Table:
    if not len(lines):
        raise DataError(f"{path}: is empty. Write a sentence, a tab and its translation on each line.")
    head = [cell.strip() for cell in lines[0].split("\t")]
    if len(head) < 2:
        raise DataError(
            f"{path}, line 1: has no tab. Write a sentence, a tab and its translation on each line."
        )
    names = {cell.lower() for cell in head}
    titled = (names & {*SOURCES} and names & {*TARGETS}) or any(
        name is not None and name.lower() in names for name in asked
    )
    columns = head if titled else ["source", "target", *(f"column {n}" for n in range(3, len(head) + 1))]
    begin = 1 if titled else 0
    if not titled:
        columns[:2] = [name or usual for name, usual in zip(asked, columns, strict=False)]
    rows = ((n, line.split("\t")) for n, line in enumerate(lines, 1) if n > begin and line)
    return _Table(columns, rows)


def _csv(path: Path) -> _Table:
    head = first_line(path)
    text = io.TextIOWrapper(io.BytesIO(read_bytes(path)), encoding="utf-8-sig", errors="replace", newline="")
    reader = csv.reader(text, delimiter=max(_DELIMITERS, key=head.count))
    columns = [cell.strip() for cell in next(reader, [])]

    def rows() -> Iterator[Row]:
        begun = reader.line_num + 1
        try:
            for cells in reader:
                if cells:
                    yield begun, cells
                begun = reader.line_num + 1
        except csv.Error as error:
            raise DataError(f"{path}: line {reader.line_num}: {error}. Is a quote left open?") from None

    return _Table(columns, rows())


def _json_lines(path: Path, lines: Lines) -> _Table:
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        raise DataError(f'{path}: is empty. Write {{"source": "...", "target": "..."}} on each line.')
    columns = list(_object(path, 1, first))

    def rows() -> Iterator[Row]:
        for number, line in enumerate(lines, 1):
            if line.strip():
                found = _object(path, number, line)
                cells = (found.get(name) for name in columns)
                yield number, [str(cell) if isinstance(cell, str | int | float) else None for cell in cells]

    return _Table(columns, rows())


def _object(path: Path, line: int, text: str) -> Mapping[str, object]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}, line {line}: is not JSON ({error}). Correct it.") from None
    if isinstance(found, Mapping) and isinstance(found.get("translation"), Mapping):
        found = {**found["translation"], **{k: v for k, v in found.items() if k == _SPLIT}}
    if not isinstance(found, Mapping):
        raise DataError(
            f'{path}, line {line}: is not an object. Write {{"source": "...", "target": "..."}} on each line.'
        )
    return found


def _parquet(path: Path) -> _Table:
    try:
        from pyarrow import ArrowException, parquet  # type: ignore[import-untyped]
    except ImportError:
        raise MissingExtraError("pyarrow", "parquet", "reading a Parquet table") from None
    try:
        file = parquet.ParquetFile(path)
        columns = list(file.schema_arrow.names)
    except (ArrowException, OSError) as error:
        raise DataError(
            f"{path}: cannot be read as Parquet ({error}). Write it again, or give a .tsv."
        ) from None

    def rows() -> Iterator[Row]:
        number = 0
        for batch in file.iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield number, ["" if row[name] is None else str(row[name]) for name in columns]

    return _Table(columns, rows())
