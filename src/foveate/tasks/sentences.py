"""The sentences that a user gives on a command line: files, standard input, or the words themselves."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from foveate.data.pairs.lines import Lines
from foveate.data.pairs.read_lines import read_bytes
from foveate.errors import DataError

_FILES = (".txt", ".gz", ".tsv", ".csv", ".jsonl")


def sentences_of(words: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield where sentences come from, and the sentences.

    Args:
        words: Each a text file with one sentence a line (.gz too), "-" for standard input, or a sentence.

    Raises:
        DataError: A file is not there, cannot be read, or is not UTF-8.
    """
    for word in words:
        path = Path(word)
        if word in ("-", "/dev/stdin"):
            yield "standard input", _text(sys.stdin.buffer.read(), "standard input")
        elif path.is_dir():
            raise DataError(f"{word}: is a folder. Give text files with one sentence a line.")
        elif _is_file(path):
            yield word, _text(read_bytes(path), word)
        elif path.suffix in _FILES and not word.count(" "):
            raise DataError(f"{word}: no such file. Give a text file, - for standard input, or a sentence.")
        else:
            yield "the command line", [word]


def _text(given: bytes, name: str) -> list[str]:
    """Return the lines of a text; characters that were guessed would be translated as if they stood there."""
    try:
        given.decode("utf-8")
    except UnicodeDecodeError as error:
        line = given.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{name}, line {line}: is not UTF-8. If it is Latin-1, convert it first: iconv -f LATIN1 -t UTF-8"
        ) from None
    return list(Lines.split(given))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a sentence that is too long for a name
        return False
