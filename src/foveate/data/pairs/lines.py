"""Millions of lines in little memory: one run of bytes, and where each line lies in it.

Memory  the bytes of the text, and 16 bytes per line; a line becomes text when it is asked for.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np
from jaxtyping import Int64


class Lines(Sequence[str]):
    r"""Lines of text; bytes that are not UTF-8 are read as U+FFFD.

    Args:
        text: UTF-8.
        starts: Where each line starts, int64 (N,).
        ends: Where it ends, int64 (N,).

    Example:
        >>> Lines.of(["a dog", "a cat"]).taken(np.array([1]))[0]
        'a cat'
    """

    def __init__(self, text: bytes, starts: Int64[np.ndarray, " n"], ends: Int64[np.ndarray, " n"]) -> None:
        self.text, self.starts, self.ends = text, starts, ends

    @classmethod
    def split(cls, text: bytes) -> Lines:
        r"""Return the lines of a file's bytes.

        They end at ``\n`` or ``\r\n`` alone: other characters that end a line in some programs, such as
        U+2028, would move all lines after them in one language only.
        """
        begin = 3 if text.startswith(b"\xef\xbb\xbf") else 0  # a byte-order mark
        bytes_ = np.frombuffer(text, dtype=np.uint8)
        ends = np.flatnonzero(bytes_ == ord("\n")).astype(np.int64)
        if len(text) > begin and not text.endswith(b"\n"):
            ends = np.append(ends, len(text))
        starts = np.append(begin, ends[:-1] + 1)[: len(ends)].astype(np.int64)
        before = np.maximum(ends - 1, 0)
        ends = ends - ((ends > starts) & (bytes_[before] == ord("\r"))) if len(ends) else ends
        return cls(text, starts, ends)

    @classmethod
    def of(cls, lines: Iterable[str]) -> Lines:
        """Return lines that are texts already; line feeds in them are kept."""
        growing = GrowingLines()
        for line in lines:
            growing.add(line)
        return growing.lines()

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, item: int) -> str: ...

    @overload
    def __getitem__(self, item: slice) -> Lines: ...

    def __getitem__(self, item: int | slice) -> str | Lines:
        if isinstance(item, slice):
            return Lines(self.text, self.starts[item], self.ends[item])
        return self.raw(item).decode("utf-8", errors="replace")

    def __iter__(self) -> Iterator[str]:
        for start, end in zip(self.starts.tolist(), self.ends.tolist(), strict=True):
            yield self.text[start:end].decode("utf-8", errors="replace")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lines) and len(self) == len(other) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def raw(self, item: int) -> bytes:
        """Return the bytes of a line."""
        return self.text[self.starts[item] : self.ends[item]]

    def taken(self, items: Int64[np.ndarray, " m"]) -> Lines:
        """Return some of the lines; their bytes are shared."""
        return Lines(self.text, self.starts[items], self.ends[items])

    def joined(self, others: Lines) -> Lines:
        """Return these lines and then the others."""
        first = len(self.text)
        starts, ends = (others.starts + first, others.ends + first)
        return Lines(
            self.text + others.text,
            np.concatenate([self.starts, starts]),
            np.concatenate([self.ends, ends]),
        )

    def digest(self) -> str:
        """Return a hash of all lines, whatever ends them."""
        total = hashlib.blake2b(digest_size=16)
        for start, end in zip(self.starts.tolist(), self.ends.tolist(), strict=True):
            total.update((end - start).to_bytes(8, "little") + self.text[start:end])
        return total.hexdigest()


class GrowingLines:
    """Lines that are still being read, in no more memory than ``Lines`` take."""

    def __init__(self) -> None:
        self._text, self._ends = bytearray(), array("q")

    def add(self, line: str) -> None:
        """Add a line at the end."""
        self._text += line.encode("utf-8", errors="replace")
        self._ends.append(len(self._text))

    def lines(self) -> Lines:
        """Return what was added."""
        ends = np.array(self._ends, dtype=np.int64)
        return Lines(bytes(self._text), np.append(0, ends)[: len(ends)].astype(np.int64), ends)
