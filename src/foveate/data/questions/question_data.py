"""What data with questions is, wherever it comes from: splits of questions, each about a picture."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Int64

from foveate.data.base import Pooled, Split
from foveate.data.folds import Folds, Rows, cut_folds
from foveate.data.image_folds import regrouped
from foveate.data.pictured import Pictured
from foveate.errors import DataError

Look = Callable[[int], Bool[np.ndarray, "h w"]]


@dataclass(frozen=True, eq=False)
class QuestionSplit:
    """One part of the data.

    Args:
        pictures: The pictures, each once; their targets are all 0.
        picture: The number of each question's picture, int64 (N,).
        questions: As they are in the file but for spaces at the ends.
        answers: Those of each question's annotators, at least one, in their normal form.
        families: What kind each question is of; empty texts where nobody says.
        look: Question number -> where the answer is to be seen, bool (H, W), if the data knows.

    Raises:
        DataError: They differ in number, a question has no answer, or is about a picture that is not there.
    """

    pictures: Split
    picture: Int64[np.ndarray, " n"]
    questions: tuple[str, ...]
    answers: tuple[tuple[str, ...], ...]
    families: tuple[str, ...]
    look: Look | None = None

    def __post_init__(self) -> None:
        sizes = {len(self.picture), len(self.questions), len(self.answers), len(self.families)}
        if len(sizes) > 1:
            raise DataError(
                f"questions: a split came with {len(self.questions)} questions, {len(self.picture)} "
                f"pictures, {len(self.answers)} answers and {len(self.families)} families. Give one for "
                "each question."
            )
        bare = [text for text, some in zip(self.questions, self.answers, strict=True) if not some]
        if bare:
            raise DataError(f'question "{bare[0]}" has no answer ({len(bare)} such). Leave such out.')
        if len(self) and not 0 <= self.picture.min() <= self.picture.max() < len(self.pictures):
            raise DataError(
                f"questions: picture numbers go from {self.picture.min()} to {self.picture.max()} for "
                f"{len(self.pictures)} pictures. Number them from 0."
            )

    def __len__(self) -> int:
        return len(self.questions)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """One name a question: its picture's, with # and a number where the picture has several."""
        seen, several = Counter[int](), Counter(self.picture.tolist())
        found = []
        for number in self.picture.tolist():
            name = self.pictures.names[number]
            found.append(f"{name}#{seen[number]}" if several[number] > 1 else name)
            seen[number] += 1
        return tuple(found)

    @property
    def usual(self) -> tuple[str, ...]:
        """The most frequent answer to each question; of equally frequent ones the first given."""
        return tuple(Counter(some).most_common(1)[0][0] for some in self.answers)


@dataclass(frozen=True)
class Cap:
    """What a model can reach that does not get all of a question, at best.

    Args:
        family: Of the questions; empty for all together.
        goal_blind: Expected share of right answers of the best model that sees the pictures alone.
        picture_blind: Likewise of the questions alone.
    """

    family: str
    goal_blind: float
    picture_blind: float


@dataclass(frozen=True, eq=False, repr=False)
class QuestionData(Pictured):
    """Questions about pictures, in splits.

    Args:
        name: What to call it in a report.
        splits: "train" and "test", and "val" if there is one.
        origin: How to open it again; JSON-able.
        contents: A hash of all pictures: equal pictures, equal contents.
        caps: What blind models can reach on the test questions, if it is known.
        pooled: Where the pictures come from, if they have changed places; see ``image_folds``.

    Raises:
        DataError: A split train or test is missing or empty.
    """

    name: str
    splits: Mapping[str, QuestionSplit]
    origin: Mapping[str, object]
    contents: str
    caps: tuple[Cap, ...] = ()
    pooled: Pooled | None = None

    item: ClassVar[str] = "question with an answer"

    @property
    def task(self) -> str:
        """Return the task that such data is for."""
        return "question"

    @property
    def families(self) -> tuple[str, ...]:
        """Return the families of all splits, sorted; none if nobody states them."""
        return tuple(sorted({family for split in self.splits.values() for family in split.families} - {""}))

    @cached_property
    def fingerprint(self) -> str:
        """Return a hash of pictures, questions and answers: equal data, equal fingerprint."""
        total = hashlib.sha256(f"questions {self.contents}".encode())
        for name in sorted(self.splits):
            split = self.splits[name]
            total.update(f"\n{name}".encode())
            for row in zip(
                split.picture.tolist(), split.questions, split.families, split.answers, strict=True
            ):
                total.update(("\n" + "\0".join((*map(str, row[:3]), *row[3]))).encode())
        return total.hexdigest()

    def folds(self, count: int) -> Folds:
        """Return the data in folds for cross-validation; the questions of a picture are kept together.

        Raises:
            DataError: There are fewer pictures than folds.
        """
        owners = [
            f"{name}/{number}" for name in ("train", "test") for number in self.splits[name].picture.tolist()
        ]
        return cut_folds(self, count, self._regrouped, groups=owners)

    def _regrouped(self, rows: Rows) -> QuestionData:
        """Return the data with other questions in train and test, and their pictures with them."""
        one, other = (self.splits[name] for name in ("train", "test"))
        owner = np.concatenate([one.picture, other.picture + len(one.pictures)])
        used = {name: np.unique(owner[some]) for name, some in rows.items()}
        pictures = regrouped(self.pictures, used)
        questions, answers = (*one.questions, *other.questions), (*one.answers, *other.answers)
        families = (*one.families, *other.families)
        moved = {}
        for name, some in rows.items():
            numbers = some.tolist()
            moved[name] = QuestionSplit(
                pictures.splits[name],
                np.searchsorted(used[name], owner[some]),
                tuple(questions[row] for row in numbers),
                tuple(answers[row] for row in numbers),
                tuple(families[row] for row in numbers),
                self._moved_look(numbers, one, other),
            )
        return replace(
            self,
            splits={**self.splits, **moved},
            contents=pictures.fingerprint,
            pooled=pictures.pooled,
            caps=(),
        )

    @staticmethod
    def _moved_look(numbers: Sequence[int], one: QuestionSplit, other: QuestionSplit) -> Look | None:
        first, second, count = one.look, other.look, len(one)
        if first is None or second is None:
            return None

        def look(item: int) -> Bool[np.ndarray, "h w"]:
            row = numbers[item]
            return first(row) if row < count else second(row - count)

        return look

    def facts(self) -> tuple[str, ...]:
        """Return what a plan prints about the data, each in a few words."""
        pictures = f"{len(self.splits['train'].pictures):,} pictures to train on"
        whole = next((cap for cap in self.caps if not cap.family), None)
        if whole is None:
            return (pictures,)
        most = f"{100 * whole.goal_blind:.1f} % without the question, {100 * whole.picture_blind:.1f} %"
        return pictures, f"at most {most} without the picture"
