"""Many texts as word numbers in little memory, and rows of them padded into one tensor.

Memory  four bytes per word and eight per text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int32, Int64
from torch import Tensor

from foveate.data.words.special import PAD
from foveate.data.words.vocabulary import Vocabulary

_CHUNK = 2**20  # numbers that are gathered before they are packed


@dataclass(frozen=True, eq=False)
class Numbered:
    """Word numbers of texts, one after another.

    Args:
        numbers: int32 (total,); each text ends with the number of the end.
        ends: Where each text ends, int64 (N,).
    """

    numbers: Int32[np.ndarray, " total"]
    ends: Int64[np.ndarray, " n"]

    @classmethod
    def of(cls, texts: Iterable[str], vocabulary: Vocabulary) -> Numbered:
        """Return texts as a vocabulary numbers them."""
        packed, loose, ends, total = [np.zeros(0, dtype=np.int32)], list[int](), list[int](), 0
        for text in texts:
            loose += vocabulary.encode(text)
            ends.append(total + len(loose))
            if len(loose) > _CHUNK:
                packed.append(np.array(loose, dtype=np.int32))
                total += len(loose)
                loose = []
        packed.append(np.array(loose, dtype=np.int32))
        return cls(np.concatenate(packed), np.array(ends, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def lengths(self) -> Int64[np.ndarray, " n"]:
        """Words of each text, its end included."""
        return np.diff(self.ends, prepend=0)

    def row(self, item: int) -> Int32[np.ndarray, " t"]:
        """Return the numbers of a text."""
        return self.numbers[(self.ends[item - 1] if item else 0) : self.ends[item]]

    def padded(self, items: Sequence[int] | Int64[np.ndarray, " b"]) -> Int64[Tensor, "b t"]:
        """Return the numbers of some texts, filled up with padding to the longest of them."""
        rows = [self.row(int(item)) for item in items]
        out = np.full((len(rows), max(map(len, rows))), PAD, dtype=np.int64)
        for place, row in zip(out, rows, strict=True):
            place[: len(row)] = row
        return torch.from_numpy(out)
