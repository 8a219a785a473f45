"""Sentences and translations as they were read, before they are cut into splits or filtered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from foveate.data.pairs.lines import Lines
from foveate.data.pairs.parting_line import parting_line
from foveate.data.pairs.read_lines import read_lines
from foveate.errors import DataError


@dataclass(frozen=True)
class Part:
    """Pairs of one file or table.

    Args:
        source: The sentences.
        target: Their translations.
        numbers: The line of each, int64 (N,), from 1.
    """

    source: Lines
    target: Lines
    numbers: Int64[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.source)

    def taken(self, items: Int64[np.ndarray, " m"]) -> Part:
        """Return some of the pairs."""
        return Part(self.source.taken(items), self.target.taken(items), self.numbers[items])


def read_part(source: Path, target: Path) -> Part:
    """Return the pairs of two files whose lines belong together.

    Raises:
        DataError: One of them cannot be read, or they have different numbers of lines; the text says where
            they seem to part.
    """
    first, second = read_lines(source), read_lines(target)
    if len(first) != len(second):
        raise DataError(
            f"{source} has {len(first):,} lines, but {target} has {len(second):,}. Line n of one has to "
            f"translate line n of the other.{_where(first, second)} Correct the files."
        )
    return Part(first, second, np.arange(1, len(first) + 1, dtype=np.int64))


def _where(first: Lines, second: Lines) -> str:
    line = parting_line(first.ends - first.starts, second.ends - second.starts)
    if line is None:
        return ""
    return f" By the lengths of the lines, they match up to about line {line:,}."
