"""A feed of questions with their pictures, or features of these, and what annotators answered.

Shapes  features float32 (B, N, D); images float32 (B, 3, H, W), normalised; words int64 (B, T), padded with
        0; targets, credit float32 (B, K); look float32 (B, H, W)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor

from foveate.data.batches import HALF, Channels
from foveate.data.captions.caption_feed import PictureFeatures
from foveate.data.feed import epoch_order, steps_per_epoch
from foveate.data.images.decode import square
from foveate.data.questions.question_data import QuestionSplit
from foveate.data.words.special import PAD, UNKNOWN
from foveate.data.words.vocabulary import Vocabulary
from foveate.errors import OptionError
from foveate.options import whole

Credit = Callable[[Sequence[str]], Mapping[str, float]]
"""What each answer is worth, given what the annotators said: of those that are worth something."""


@dataclass(frozen=True)
class QuestionBatch:
    """Some questions at once.

    Args:
        inputs: Features (B, N, D) or normalised images (B, 3, H, W).
        words: int64 (B, T), the questions.
        targets: float32 (B, K), the share of the annotators who gave each answer.
        credit: float32 (B, K), what each answer is worth.
        family: int64 (B,), the number of each question's family.
        look: float32 (B, S, S), how much of each pixel belongs to what the answer is read from; None where
            nobody knows.
        indices: int64 (B,), the items' numbers in the feed.
    """

    inputs: Tensor
    words: Int64[Tensor, "b t"]
    targets: Float[Tensor, "b k"]
    credit: Float[Tensor, "b k"]
    family: Int64[Tensor, " b"]
    look: Float[Tensor, "b s s"] | None
    indices: Int64[Tensor, " b"]

    def __len__(self) -> int:
        return len(self.words)

    def to(self, device: torch.device) -> QuestionBatch:
        """Return the batch on ``device``, itself if it is there."""
        if self.words.device == device:
            return self
        moved: Any = {name: None if value is None else value.to(device) for name, value in vars(self).items()}
        return QuestionBatch(**moved)


@dataclass(frozen=True, eq=False)
class QuestionFeed:
    """One split of questions; see ``foveate.data.feed``.

    Args:
        split: The questions.
        vocabulary: Numbers their words.
        answers: K, those that a model can give.
        families: Their names; a question's family is its number among them.
        credit: What answers are worth.
        features: Of the split's pictures, in their order; or
        images: the pictures themselves, uint8 (M, 3, S, S).
        mean: What is subtracted from each channel of images in [0, 1].
        std: What each channel is then divided by.
        size: S; that at which it is said where to look, too.

    Raises:
        OptionError: Not just one of ``features`` and ``images`` is given, or it is of another number.
    """

    split: QuestionSplit
    vocabulary: Vocabulary
    answers: tuple[str, ...]
    families: tuple[str, ...]
    credit: Credit
    features: PictureFeatures | None = None
    images: UInt8[np.ndarray, "m 3 s s"] | None = None
    mean: Channels = HALF
    std: Channels = HALF
    size: int = 0

    def __post_init__(self) -> None:
        given = [found for found in (self.features, self.images) if found is not None]
        if len(given) != 1 or len(given[0]) != len(self.split.pictures):
            raise OptionError(
                f"questions: got features or images of {[len(found) for found in given]} pictures, expected "
                f"one of the two, for the {len(self.split.pictures)} pictures of the split."
            )

    def __len__(self) -> int:
        return len(self.split)

    @property
    def names(self) -> Sequence[str]:
        """One name a question."""
        return self.split.names

    def train(self, *, batch_size: int, seed: int, epoch: int, start: int = 0) -> Iterator[QuestionBatch]:
        """Yield the batches of one epoch, in random order.

        Raises:
            OptionError: ``batch_size`` or ``start`` is impossible.
        """
        whole("batch_size", batch_size)
        count = steps_per_epoch(len(self), batch_size)
        whole("start", start, 0, count)
        order = epoch_order(len(self), seed, epoch)
        parts = (order[step * batch_size : (step + 1) * batch_size] for step in range(start, count))
        return (self._batch(items, looks=False) for items in parts)

    def test(self, batch_size: int) -> Iterator[QuestionBatch]:
        """Yield every question once, in order.

        Raises:
            OptionError: ``batch_size`` is impossible.
        """
        whole("batch_size", batch_size)
        firsts = range(0, len(self), batch_size)
        parts = (np.arange(first, min(first + batch_size, len(self))) for first in firsts)
        return (self._batch(items, looks=True) for items in parts)

    def targets(self, items: Int64[np.ndarray, " b"]) -> Float32[np.ndarray, "b k"]:
        """Return the share of the annotators who gave each answer, for some questions."""
        return self._rows(items, shares)

    def worth(self, items: Int64[np.ndarray, " b"]) -> Float32[np.ndarray, "b k"]:
        """Return what each answer is worth, for some questions."""
        return self._rows(items, self.credit)

    def _rows(self, items: Int64[np.ndarray, " b"], values: Credit) -> Float32[np.ndarray, "b k"]:
        found = np.zeros((len(items), len(self.answers)), dtype=np.float32)
        for row, item in zip(found, items.tolist(), strict=True):
            for answer, value in values(self.split.answers[item]).items():
                if answer in self._number:
                    row[self._number[answer]] = value
        return found

    @cached_property
    def _number(self) -> dict[str, int]:
        return {answer: number for number, answer in enumerate(self.answers)}

    @cached_property
    def _family(self) -> Int64[np.ndarray, " n"]:
        number = {name: place for place, name in enumerate(self.families)}
        return np.array([number.get(name, len(number)) for name in self.split.families], dtype=np.int64)

    @cached_property
    def _words(self) -> list[list[int]]:
        return [question_words(self.vocabulary, text) for text in self.split.questions]

    @cached_property
    def _looks(self) -> UInt8[np.ndarray, "n s s"] | None:
        look = self.split.look
        if look is None:
            return None
        return np.stack([brought(look(item), self.size) for item in range(len(self))])

    def _batch(self, items: Int64[np.ndarray, " b"], *, looks: bool) -> QuestionBatch:
        pictures = self.split.picture[items]
        where = self._looks if looks else None
        return QuestionBatch(
            inputs=self.features[pictures] if self.images is None else self._pixels(self.images, pictures),  # type: ignore[index]
            words=padded([self._words[item] for item in items.tolist()]),
            targets=torch.from_numpy(self.targets(items)),
            credit=torch.from_numpy(self.worth(items)),
            family=torch.from_numpy(self._family[items]),
            look=None if where is None else torch.from_numpy(where[items]).float() / 255,
            indices=torch.from_numpy(items.astype(np.int64)),
        )

    def _pixels(self, images: np.ndarray, pictures: Int64[np.ndarray, " b"]) -> Float[Tensor, "b 3 h w"]:
        chosen = torch.from_numpy(np.take(images, pictures, axis=0)).float() / 255
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
        return ((chosen - mean) / std).contiguous(memory_format=torch.channels_last)


def shares(answers: Sequence[str]) -> dict[str, float]:
    """Return the share of the annotators who gave each answer."""
    return {answer: count / len(answers) for answer, count in Counter(answers).items()}


def question_words(vocabulary: Vocabulary, text: str) -> list[int]:
    """Return the numbers of a question's words, without the end's; of an empty one an unknown word's."""
    return vocabulary.encode(text)[:-1] or [UNKNOWN]


def padded(rows: Sequence[Sequence[int]]) -> Int64[Tensor, "b t"]:
    """Return questions of different lengths as one tensor."""
    found = torch.full((len(rows), max(map(len, rows), default=1)), PAD)
    for place, row in zip(found, rows, strict=True):
        place[: len(row)] = torch.tensor(row)
    return found


def brought(mask: Any, size: int) -> UInt8[np.ndarray, "s s"]:
    """Return a mask as pictures are brought to their size, 255 where it holds."""
    return square(np.repeat(mask[:, :, None] * np.uint8(255), 3, axis=2), size)[:, :, 0]
