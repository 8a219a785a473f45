"""Whether a source is clearly sentences in two languages, so that the user need not say so."""

from __future__ import annotations

import json
from pathlib import Path

from foveate.data.base import SPLITS
from foveate.data.folders.name_words import meaning
from foveate.data.pairs.find_files import SOURCES, TARGETS, first_line, found_in, is_surely_language, is_table
from foveate.errors import DataError


def looks_like_pairs(source: object) -> bool:
    """Return whether a source is a folder of ``<split>.<language>`` files, or a table of sentences.

    A table is recognised by its columns, which are called source and target (or src and tgt), or hold a
    "translation" in JSON Lines. Nothing else of it is read.
    """
    if not isinstance(source, str | Path) or not str(source).strip():
        return False
    path = Path(source).expanduser()
    try:
        if path.is_file():
            return is_table(path) and _has_columns(path)
        if not path.is_dir():
            return False
        found = found_in(path)
    except (OSError, ValueError, DataError):
        return False
    several = [part for part, files in found.texts.items() if sum(map(is_surely_language, files)) > 1]
    named = [part for part in several if meaning(part.rpartition("/")[2] or part).split in SPLITS]
    tables = [file for part, file in found.tables.items() if meaning(part).split in SPLITS]
    return bool(named) or (not several and any(map(_has_columns, tables)))


def _has_columns(path: Path) -> bool:
    line = first_line(path)
    if ".jsonl" in path.name.lower() or ".ndjson" in path.name.lower():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            return False
        names = {str(name).lower() for name in row} if isinstance(row, dict) else set()
        return isinstance(row, dict) and (_both(names) or isinstance(row.get("translation"), dict))
    for delimiter in ("\t", ",", ";"):
        line = line.replace(delimiter, "\0")
    return _both({cell.strip().strip('"').lower() for cell in line.split("\0")})


def _both(names: set[str]) -> bool:
    return bool(names & {*SOURCES}) and bool(names & {*TARGETS})
