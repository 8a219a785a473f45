"""What captioned data is, wherever it comes from: splits of pictures, each with one or several captions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

from foveate.data.base import Pooled, Split
from foveate.data.folds import Folds, Rows, cut_folds
from foveate.data.image_folds import groups_of, regrouped
from foveate.data.pictured import Pictured
from foveate.errors import DataError


@dataclass(frozen=True, eq=False)
class CaptionSplit:
    """One part of the data.

    Args:
        pictures: The pictures; their targets are all 0.
        captions: Those of each picture, at least one, as they are in the file but for spaces at the ends.

    Raises:
        DataError: They differ in number, or a picture has no caption.
    """

    pictures: Split
    captions: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        if len(self.pictures) != len(self.captions):
            raise DataError(
                f"a split of {len(self.pictures)} pictures came with captions for {len(self.captions)}. Give "
                "some for each."
            )
        bare = [name for name, some in zip(self.names, self.captions, strict=True) if not some]
        if bare:
            raise DataError(f"{bare[0]}: has no caption ({len(bare)} such). Leave such pictures out.")

    def __len__(self) -> int:
        return len(self.captions)

    @property
    def names(self) -> Sequence[str]:
        """One name a picture: its path relative to the captions, or as they write it."""
        return self.pictures.names


@dataclass(frozen=True, eq=False, repr=False)
class CaptionData(Pictured):
    """Pictures with captions, in splits.

    Args:
        name: What to call it in a report.
        splits: "train" and "test", and "val" if there is one.
        origin: How to open it again; JSON-able.
        contents: A hash of all pictures: equal pictures, equal contents.
        longest: Words of the longest caption that is trained on; None for any.
        pooled: Where the pictures come from, if they have changed places; see ``image_folds``.

    Raises:
        DataError: A split train or test is missing or empty.
    """

    name: str
    splits: Mapping[str, CaptionSplit]
    origin: Mapping[str, object]
    contents: str
    longest: int | None = None
    pooled: Pooled | None = None

    item: ClassVar[str] = "picture with captions"

    @property
    def task(self) -> str:
        """Return the task that such data is for."""
        return "caption"

    @cached_property
    def fingerprint(self) -> str:
        """Return a hash of pictures and captions: equal data, equal fingerprint."""
        total = hashlib.sha256(f"captions {self.contents}".encode())
        for name in sorted(self.splits):
            total.update(f"\n{name}".encode())
            for some in self.splits[name].captions:
                total.update(("\n" + "\0".join(some)).encode())
        return total.hexdigest()

    def folds(self, count: int) -> Folds:
        """Return the data in folds for cross-validation; groups of pictures are kept together.

        Raises:
            DataError: There are fewer pictures or groups than folds.
        """
        return cut_folds(self, count, self._regrouped, groups=groups_of(self.pictures))

    def _regrouped(self, rows: Rows) -> CaptionData:
        """Return the data with other pictures in train and test."""
        pictures = regrouped(self.pictures, rows)
        pool = (*self.splits["train"].captions, *self.splits["test"].captions)
        moved = {
            name: CaptionSplit(pictures.splits[name], tuple(pool[row] for row in some.tolist()))
            for name, some in rows.items()
        }
        return replace(
            self,
            splits={**self.splits, **moved},
            contents=pictures.fingerprint,
            pooled=pictures.pooled,
        )

    def texts(self, split: str = "train") -> list[str]:
        """Return all captions of a split, picture by picture."""
        return [caption for some in self.splits[split].captions for caption in some]

    def facts(self) -> tuple[str, ...]:
        """Return what a plan prints about the data, each in a few words."""
        captions = f"{len(self.texts()):,} captions to train on"
        return (captions, f"of up to {self.longest} words") if self.longest else (captions,)
