"""The sentences that a user gives on a command line: files, standard input, or the words themselves."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from foveate.data.pairs.read_lines import read_lines
from foveate.errors import DataError

_FILES = (".txt", ".gz", ".tsv", ".csv", ".jsonl")


def sentences_of(words: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield where sentences come from, and the sentences.

    Args:
        words: Each a text file with one sentence a line (.gz too), "-" for standard input, or a sentence.

    Raises:
        DataError: A file is not there or cannot be read.
    """
    for word in words:
        path = Path(word)
        if word in ("-", "/dev/stdin"):
            yield "standard input", [line.rstrip("\r\n") for line in sys.stdin]
        elif path.is_dir():
            raise DataError(f"{word}: is a folder. Give text files with one sentence a line.")
        elif _is_file(path):
            yield word, list(read_lines(path))
        elif path.suffix in _FILES and not word.count(" "):
            raise DataError(f"{word}: no such file. Give a text file, - for standard input, or a sentence.")
        else:
            yield "the command line", [word]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a sentence that is too long for a name
        return False
