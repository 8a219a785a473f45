"""Captions in text files: Flickr8k's and Flickr30k's token files, and tables with a header.

1000268201_693b08cb0e.jpg#0 <tab> A child in a pink dress is climbing up a set of stairs .

image,caption,split                       image_name| comment_number| comment
1.jpg,"a dog, running",train              1.jpg| 0| a dog , running
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from foveate.data.captions.captioned import Captioned, gathered, stated_split
from foveate.data.captions.read_caption_json import FILES
from foveate.data.pairs.find_files import first_line
from foveate.data.pairs.read_lines import read_bytes, read_lines
from foveate.errors import DataError

_TOKEN = re.compile(r"([^\t#][^\t]*?)#\d+\t(.*)", re.DOTALL)
_PICTURES = (*FILES, "image_name", "image_id")
_CAPTIONS = ("caption", "comment", "text", "sentence", "description")
_DELIMITERS = (",", ";", "\t", "|")


def is_token_file(file: Path) -> bool:
    """Return whether the first line of a file is a picture's name, #, a number, a tab and a caption."""
    return _TOKEN.match(first_line(file)) is not None


def is_caption_table(file: Path) -> bool:
    """Return whether the first line of a file is a header with a column of pictures and one of captions."""
    return _columns(_cells(first_line(file))) is not None


def is_labelled_table(file: Path) -> bool:
    """Return whether the first line of a file names a column of labels or masks."""
    return bool({"label", "labels", "mask"} & {*_cells(first_line(file))})


def read_caption_text(file: Path) -> list[Captioned]:
    """Return the pictures of a token file or a table with their captions.

    Raises:
        DataError: It cannot be read, or is neither of the two; the text names the line.
    """
    if is_token_file(file):
        return gathered(_tokens(file), file)
    head = _cells(first_line(file))
    places = _columns(head)
    if places is None:
        raise DataError(
            f"{file}: the first line names no picture with a caption: {first_line(file)[:60]!r}. Write a "
            'header image,caption or lines such as "1.jpg#0", a tab, and the caption.'
        )
    return gathered(_rows(file, head, places), file)


def _tokens(file: Path) -> Iterator[Captioned]:
    for number, line in enumerate(read_lines(file), 1):
        if line.strip():
            found = _TOKEN.match(line)
            if found is None:
                raise DataError(
                    f'{file}, line {number}: is not "NAME.jpg#0", a tab, and a caption: {line[:60]!r}.'
                )
            yield Captioned(found[1], [found[2]])


def _rows(file: Path, head: Sequence[str], places: tuple[int, int, int | None]) -> Iterator[Captioned]:
    for number, cells in table_rows(file):
        if len(cells) <= max(places[:2]):
            raise DataError(
                f"{file}, line {number}: {len(cells)} cells, expected {len(head)}: {', '.join(head)}. Quote "
                "captions that hold the separator."
            )
        split = cells[places[2]] if places[2] is not None and places[2] < len(cells) else None
        picture, caption = (cells[place].strip() for place in places[:2])
        yield Captioned(picture, [caption], stated_split(split, f"{file}, line {number}"))


def table_rows(file: Path) -> Iterator[tuple[int, Sequence[str]]]:
    """Yield the rows behind the header; tabs and bars separate cells without quotes."""
    delimiter = _delimiter(first_line(file))
    lines: Iterable[tuple[int, Sequence[str]]]
    if delimiter in "\t|":
        last = first_line(file).count(delimiter)
        lines = (
            (n, line.split(delimiter, last)) for n, line in enumerate(read_lines(file), 1) if line.strip()
        )
    else:
        text = read_bytes(file).decode("utf-8-sig", errors="replace")
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        lines = ((reader.line_num, cells) for cells in reader if cells)
    try:
        rows = iter(lines)
        next(rows, None)
        yield from rows
    except csv.Error as error:
        raise DataError(f"{file}: {error}. Is a quote left open?") from None


def header_of(file: Path) -> list[str]:
    """Return the names in the first line of a table, in small letters."""
    return _cells(first_line(file))


def _cells(head: str) -> list[str]:
    cells = head.split(_delimiter(head))
    return [cell.strip().strip('"').strip().lower() for cell in cells]


def _delimiter(head: str) -> str:
    return max(_DELIMITERS, key=head.count)


def _columns(head: Sequence[str]) -> tuple[int, int, int | None] | None:
    """Return where the pictures, the captions and the splits are."""
    picture, caption, split = (
        next((head.index(name) for name in names if name in head), None)
        for names in (_PICTURES, _CAPTIONS, ("split",))
    )
    return None if picture is None or caption is None else (picture, caption, split)
