"""A vocabulary of whole words, those that occur often enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from foveate.data.words.normal_text import normal, normal_facts
from foveate.data.words.special import FIRST
from foveate.data.words.split_text import bare, join_pieces, split_text
from foveate.data.words.vocabulary import Vocabulary
from foveate.errors import DataError
from foveate.options import whole

SplitAt = Literal["marks", "spaces"]


@dataclass(frozen=True, repr=False)
class WordVocabulary(Vocabulary):
    """Whole words.

    Args:
        known: The words from number 4 on, in the order of their numbers.
        lower: Whether capitals become small letters.
        split: "marks" splits at spaces and splits punctuation off (see ``split_text``); "spaces" at spaces
            alone, for texts that were split by another program.
        min_count: How often a word had to occur; for ``facts`` alone.
    """

    known: tuple[str, ...]
    lower: bool = False
    split: SplitAt = "marks"
    min_count: int = 1

    @classmethod
    def of(
        cls,
        texts: Iterable[str],
        *,
        min_count: int = 1,
        max_size: int | None = None,
        lower: bool = False,
        split: SplitAt = "marks",
    ) -> WordVocabulary:
        """Return the vocabulary of texts: frequent words first, equally frequent ones in alphabetical order.

        Args:
            texts: The training texts.
            min_count: How often a word has to occur.
            max_size: V at most, the four special words included; None for no limit.
            lower: Whether capitals become small letters.
            split: Where texts are split; see the class.

        Raises:
            DataError: No word occurs often enough.
            OptionError: A number is impossible.

        Example:
            >>> WordVocabulary.of(["a dog, a cat", "a dog"], min_count=2).known
            ('a', 'dog')
        """
        whole("min_count", min_count)
        most = None if max_size is None else whole("max_size", max_size, least=FIRST + 1) - FIRST
        counts = Counter(word for text in texts for word in _split(normal(text, lower=lower), split))
        kept = sorted((word for word, count in counts.items() if count >= min_count), key=_by(counts))
        if not kept:
            raise DataError(
                f"vocabulary: none of {len(counts)} words occurs {min_count} times. Lower min_count, or give "
                "more text."
            )
        return cls(tuple(kept[:most]), lower, split, min_count)

    @property
    def words(self) -> Sequence[str]:
        """The words from number 4 on."""
        return self.known

    def plain(self) -> dict[str, Any]:
        """Return the vocabulary as plain data."""
        options = {"lower": self.lower, "split": self.split, "min_count": self.min_count}
        return {"kind": "words", "words": list(self.known), **options}

    def facts(self) -> str:
        """Return in one line how large it is and what it does to a text.

        Example:
            >>> WordVocabulary(("a", "dog"), lower=True, min_count=2).facts()
            '6 words (in training at least 2 times); NFC, lower-cased, split at spaces and marks'
        """
        often = f" (in training at least {self.min_count} times)" if self.min_count > 1 else ""
        where = "spaces and marks" if self.split == "marks" else "spaces"
        return f"{len(self):,} words{often}; {normal_facts(self.lower)}, split at {where}"

    def _split(self, chunk: str) -> list[str]:
        return _split(chunk, self.split)

    def _joined(self, words: Iterable[str]) -> str:
        return join_pieces(words) if self.split == "marks" else " ".join(words)

    def _bare(self, word: str) -> str:
        return bare(word) if self.split == "marks" else word


def _split(text: str, split: SplitAt) -> list[str]:
    return split_text(text) if split == "marks" else text.split()


def _by(counts: Counter[str]) -> Any:
    return lambda word: (-counts[word], word)
