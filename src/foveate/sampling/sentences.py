"""Sentences that a generator can be asked by, as the numbers of their words.

Shapes  numbers float32 (N, T), filled up with 0: they are a part of a condition, whose other numbers are not
        whole; float32 holds every number up to 16 million.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32

from foveate.data.words.build_vocabularies import build_vocabulary
from foveate.data.words.read_vocabulary import read_vocabulary
from foveate.data.words.special import UNKNOWN
from foveate.data.words.vocabulary import Vocabulary
from foveate.errors import OptionError
from foveate.typed import fitted

LONGEST = 40  # words of a caption that are read, at most
_EXAMPLES = 10


@dataclass(frozen=True)
class Sentences:
    """What a model knows of sentences.

    Args:
        vocabulary: Of the training captions.
        longest: T, words of a sentence at most, the end included.
        examples: A few training captions, which are asked for where a user gives none.
    """

    vocabulary: Vocabulary
    longest: int
    examples: tuple[str, ...]

    @classmethod
    def of(cls, captions: Sequence[str]) -> Sentences:
        """Return what the training captions hold."""
        vocabulary = build_vocabulary(captions, lower=True)
        longest = max(len(vocabulary.encode(text)) for text in set(captions))
        return cls(vocabulary, min(longest, LONGEST), tuple(dict.fromkeys(captions))[:_EXAMPLES])

    def plain(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "vocabulary": self.vocabulary.plain(),
            "longest": self.longest,
            "examples": list(self.examples),
        }

    @classmethod
    def read(cls, plain: Any) -> Sentences:
        """Return what ``plain`` gave.

        Raises:
            Misfit: It is something else.
        """
        fitted(plain, dict, "sentences")
        longest, examples = plain.get("longest"), plain.get("examples")
        fitted(longest, int, "longest")
        fitted(examples, list[str], "examples")
        return cls(read_vocabulary(plain.get("vocabulary"), "vocabulary"), longest, tuple(examples))

    def asked(self, words: str | None, number: int) -> tuple[str, ...]:
        """Return a sentence for each of ``number`` pictures: the one that was given, or examples in turn.

        Raises:
            OptionError: It has no word that the model knows, or too many.
        """
        if words is None:
            return tuple(self.examples[n % len(self.examples)] for n in range(number))
        found = self.vocabulary.encode(words)
        if all(n == UNKNOWN for n in found[:-1]):
            raise OptionError(
                f"--words {words!r}: training had none of these words. It had captions such as "
                f'"{self.examples[0]}".'
            )
        if len(found) > self.longest:
            raise OptionError(
                f"--words {words!r}: got {len(found) - 1} words, expected at most {self.longest - 1}, the "
                "length of the longest caption that this model was trained on."
            )
        return (words,) * number

    def numbers(self, texts: Iterable[str]) -> Float32[np.ndarray, "n t"]:
        """Return the numbers of the words of texts; those behind the longest sentence of training are cut.

        Example:
            >>> Sentences.of(["a red ring", "a ring"]).numbers(["a ring"]).tolist()
            [[4.0, 5.0, 3.0, 0.0]]
        """
        rows = [self._row(text) for text in texts]
        return np.array(rows, dtype=np.float32).reshape(len(rows), self.longest)

    def _row(self, text: str) -> list[int]:
        found = self.vocabulary.encode(text)[: self.longest]
        return found + [0] * (self.longest - len(found))
