"""The lines of a text file, plain or compressed with gzip, checked to be text."""

from __future__ import annotations

import codecs
import gzip
import stat
import zlib
from collections.abc import Iterator
from gzip import GzipFile
from io import BufferedReader
from pathlib import Path

from foveate.data.pairs.lines import Lines
from foveate.errors import DataError

LARGEST = 2**35  # bytes of text: 32 GiB, many times the largest public corpus
_LOOKED_AT = 2**16  # bytes that tell whether a file is text
_CHUNK = 2**24  # bytes read at a time
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_lines(path: Path, *, largest: int = LARGEST) -> Lines:
    """Return the lines of a file.

    Args:
        path: A text in UTF-8, one sentence on a line; with the ending .gz it is decompressed.
        largest: Bytes of text that are read.

    Raises:
        DataError: It is not there, not a file, damaged, not text, in UTF-16, or too large.
    """
    return Lines.split(read_bytes(path, largest=largest))


def read_bytes(path: Path, *, largest: int = LARGEST) -> bytes:
    """Return the bytes of a text file; see ``read_lines``."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(f"{path}: is not a file. Give a text file with one sentence per line.")
        opened = gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")
        with opened as file:
            text = b"".join(_chunks(file, largest))
    except FileNotFoundError:
        raise DataError(
            f"{path}: there is no such file. Give a text file with one sentence per line."
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}). Copy it again.") from None
    if len(text) > largest:
        raise DataError(f"{path}: more than {largest >> 20} MiB of text. Divide it into several files.")
    if text.startswith(_WIDE):
        raise DataError(f"{path}: is UTF-16. Save it as UTF-8: iconv -f UTF-16 -t UTF-8 {path.name}")
    if b"\0" in text[:_LOOKED_AT]:
        raise DataError(f"{path}: holds zero bytes, so it is not text. Give a text file in UTF-8.")
    return text


def _chunks(file: GzipFile | BufferedReader, largest: int) -> Iterator[bytes]:
    """Yield a file's bytes up to a little more than ``largest``: a small .gz may hold a great deal."""
    total = 0
    while total <= largest and (chunk := file.read(_CHUNK)):
        total += len(chunk)
        yield chunk
