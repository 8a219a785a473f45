"""What data for translation is, wherever it comes from: splits of sentences in two languages."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import overload

import numpy as np
from jaxtyping import Int64

from foveate.data.folds import Folds, Rows, cut_folds
from foveate.data.pairs.lines import Lines
from foveate.errors import DataError


class LineNames(Sequence[str]):
    """Names such as "train:12", made when they are asked for.

    Args:
        split: The split.
        numbers: The line of each item, int64 (N,), from 1.
    """

    def __init__(self, split: str, numbers: Int64[np.ndarray, " n"]) -> None:
        self.split, self.numbers = split, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, item: int) -> str: ...

    @overload
    def __getitem__(self, item: slice) -> LineNames: ...

    def __getitem__(self, item: int | slice) -> str | LineNames:
        if isinstance(item, slice):
            return LineNames(self.split, self.numbers[item])
        return f"{self.split}:{self.numbers[item]}"


@dataclass(frozen=True, eq=False)
class PairSplit:
    """One part of the data.

    Args:
        names: One per pair: the split and the line of the file, "train:12".
        source: The sentences to translate, as they are in the file.
        target: Their translations.

    Raises:
        DataError: They differ in number.
    """

    names: Sequence[str]
    source: Lines
    target: Lines

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.source) == len(self.target):
            raise DataError(
                f"a split of {len(self.names)} names came with {len(self.source)} sentences and "
                f"{len(self.target)} translations. Give one for each."
            )

    def __len__(self) -> int:
        return len(self.source)


@dataclass(frozen=True, eq=False)
class PairData:
    """Sentences in two languages, in splits.

    Args:
        name: What to call it in a report.
        source_language: What the source is called: a code such as "en", or the name of a column.
        target_language: Likewise the target.
        splits: "train" and "test", and "val" if there is one.
        origin: How to open it again; JSON-able.
        longest: Words of the longest sentence that is trained on; None for any.

    Raises:
        DataError: A split train or test is missing or empty.
    """

    name: str
    source_language: str
    target_language: str
    splits: Mapping[str, PairSplit]
    origin: Mapping[str, object]
    longest: int | None = None

    def __post_init__(self) -> None:
        for needed in ("train", "test"):
            if not len(self.splits.get(needed, ())):
                have = ", ".join(f"{name} ({len(split)})" for name, split in self.splits.items()) or "none"
                raise DataError(
                    f"{self.name}: no pair in split {needed}; splits: {have}. Give train and test (val is "
                    "optional), or one set to be split."
                )

    @property
    def task(self) -> str:
        """Return the task that such data is for."""
        return "translation"

    @property
    def items(self) -> dict[str, int]:
        """Return how many pairs each split has."""
        return {name: len(split) for name, split in self.splits.items()}

    @cached_property
    def fingerprint(self) -> str:
        """Return a hash of all sentences in their order: equal data, equal fingerprint."""
        total = hashlib.sha256(b"pairs")
        for name in sorted(self.splits):
            split = self.splits[name]
            total.update(f"\n{name} {len(split)} {split.source.digest()} {split.target.digest()}".encode())
        return total.hexdigest()

    def folds(self, count: int) -> Folds:
        """Return the pairs in folds for cross-validation, each by itself.

        Raises:
            DataError: There are fewer pairs than folds.
        """
        train, test = self.splits["train"], self.splits["test"]
        names = (*train.names, *test.names)
        source, target = train.source.joined(test.source), train.target.joined(test.target)

        def regroup(rows: Rows) -> PairData:
            moved = {
                name: PairSplit(
                    tuple(names[row] for row in some.tolist()), source.taken(some), target.taken(some)
                )
                for name, some in rows.items()
            }
            return replace(self, splits={**self.splits, **moved})

        return cut_folds(self, count, regroup)

    def facts(self) -> tuple[str, ...]:
        """Return what a plan prints about the data, each in a few words."""
        ways = f"{self.source_language} to {self.target_language}"
        return (ways, f"training pairs of up to {self.longest} words") if self.longest else (ways,)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {len(split):,}" for name, split in self.splits.items())
        return f"PairData({self.name}: {self.source_language} to {self.target_language}; {sizes})"
