"""Which pictures are meant: files, folders, lists in text files, and patterns with wildcards."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from foveate.data.folders.tree import image_files
from foveate.data.images.open_image import SUFFIXES
from foveate.data.tables.table import read_table
from foveate.errors import DataError
from foveate.files import read_text

LISTS = (".txt", ".csv", ".tsv")
COLUMNS = ("path", "image", "picture", "file", "filename", "name")  # of a table, the first that it has


@dataclass(frozen=True)
class Picture:
    """A picture's file.

    Args:
        path: Where it is; not checked yet.
        place: Its folder, relative to the one that was named; "." for a single file.
    """

    path: Path
    place: Path = Path()


def pictures_of(named: Iterable[str | Path]) -> list[Picture]:
    """Return the pictures that are meant, in the order of the names; the pictures of one name are sorted.

    Args:
        named: Files; folders, of which every picture at any depth is taken; lists, .txt with one path per
            line or .csv with a column ``path``, relative to the list or to the current directory; patterns
            such as ``photos/*.jpg`` or ``photos/**/*.jpg``, which match pictures and folders.

    Raises:
        DataError: An empty name, a folder or list without pictures, a pattern that matches nothing, or a list
            that cannot be read.
    """
    return [picture for name in named for picture in _of(_expect_name(name))]


def _expect_name(named: str | Path) -> Path:
    if not str(named):
        raise DataError('got "" as the name of a picture. Name a file, a folder, a list or a pattern.')
    return Path(named).expanduser()


def _of(path: Path) -> list[Picture]:
    if path.is_dir():
        found = [Picture(file, file.relative_to(path).parent) for file in image_files(path)]
        if not found:
            raise DataError(f"{path}: this folder holds no picture. Name a folder of pictures, or files.")
        return found
    if path.suffix.lower() in LISTS and path.is_file():
        return [Picture(_beside(path, line)) for line in _listed(path)]
    if not path.exists() and glob.has_magic(str(path)):
        matching = map(Path, sorted(glob.glob(str(path), recursive=True)))  # noqa: PTH207  # of any path
        meant = [match for match in matching if match.suffix.lower() in SUFFIXES or match.is_dir()]
        if not meant:
            raise DataError(f"{path}: no picture matches this pattern. List the folder's files with: ls")
        return [picture for match in meant for picture in _of(match)]
    return [Picture(path)]


def _beside(owner: Path, line: str) -> Path:
    """Return the path in a line of a list: relative to the list, or else to the current directory."""
    near = owner.parent / line
    return Path(line) if not near.exists() and Path(line).exists() else near


def _listed(path: Path) -> list[str]:
    found = _lines(path) if path.suffix.lower() == ".txt" else _column(path)
    if not found:
        raise DataError(f"{path}: this list holds no picture. Write one path per line.")
    return found


def _lines(path: Path) -> list[str]:
    text = read_text(path, "Save the list as UTF-8.")
    return [line.strip() for line in text.splitlines() if line.strip()]


def _column(path: Path) -> list[str]:
    """Return the cells of the column that names the files; of a table with one column all of it."""
    table = read_table(path)
    named = {column.lower(): column for column in reversed(table.columns)}
    column = next((named[name] for name in COLUMNS if name in named), None)
    if column is None and len(table.columns) > 1:
        raise DataError(
            f"{path}: none of the columns {', '.join(table.columns)} names files. Call it {COLUMNS[0]}, or "
            "write one path per line."
        )
    heading = [] if column else list(table.columns)
    cells = (row[name] for row in table.rows for name in ([column] if column else table.columns))
    return [cell for cell in (*heading, *cells) if cell]
