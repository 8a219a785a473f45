"""A vocabulary of parts of words: byte-pair encoding (Sennrich, Haddow and Birch 2016, section 3.2).

A word begins with ``SPACE`` where a space or the text's beginning precedes it, and punctuation is split off;
letters are then merged by learnt rules, the earliest rule first. So every text of known letters is encoded
without unknown words, and decoded exactly. Learning the rules needs the package tokenizers, using them does
not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from foveate.data.words.normal_text import normal, normal_facts
from foveate.data.words.special import FIRST
from foveate.data.words.split_text import touching
from foveate.data.words.vocabulary import Vocabulary
from foveate.errors import DataError, MissingExtraError, OptionError
from foveate.options import whole

SPACE = "▁"  # U+2581
_INSTEAD = "_"
_LONGEST = 100  # letters of a word that is merged in one piece: the time grows with their square


@dataclass(frozen=True, repr=False)
class BytePairVocabulary(Vocabulary):
    """Parts of words.

    Args:
        letters: The characters, from number 4 on.
        merges: Pairs of parts that become one, in the order in which they were learnt; the parts that result
            have the numbers after the letters'.
        lower: Whether capitals become small letters.
    """

    letters: tuple[str, ...]
    merges: tuple[tuple[str, str], ...]
    lower: bool = False

    @classmethod
    def of(
        cls, texts: Iterable[str], *, size: int = 8000, min_count: int = 2, lower: bool = False
    ) -> BytePairVocabulary:
        """Return the vocabulary that is learnt from texts: the same texts, the same vocabulary.

        Args:
            texts: The training texts; those of both languages for a joint vocabulary.
            size: V, the four special words included; smaller if no pair of parts occurs ``min_count`` times.
            min_count: How often a pair has to occur to be merged.
            lower: Whether capitals become small letters.

        Raises:
            DataError: There is no text.
            OptionError: A number is impossible, or ``size`` has no room for the characters alone.
            MissingExtraError: It needs tokenizers.
        """
        whole("size", size, least=FIRST + 1)
        whole("min_count", min_count)
        letters, merges = _learnt(
            (" ".join(_words(normal(text, lower=lower))) for text in texts), size - FIRST, min_count
        )
        if not letters:
            raise DataError("vocabulary: the texts hold no word. Give more text.")
        if len(letters) > size - FIRST:
            raise OptionError(
                f"size: got {size}, but the texts have {len(letters)} different characters. Write "
                f"size={2 * len(letters) + FIRST}, or more."
            )
        return cls(tuple(letters), tuple(merges), lower)

    @property
    def words(self) -> Sequence[str]:
        """The letters and parts from number 4 on."""
        return self._parts

    def plain(self) -> dict[str, Any]:
        """Return the vocabulary as plain data."""
        merges = [" ".join(pair) for pair in self.merges]
        return {"kind": "bpe", "letters": list(self.letters), "merges": merges, "lower": self.lower}

    def facts(self) -> str:
        """Return in one line how large it is and what it does to a text.

        Example:
            >>> BytePairVocabulary(("▁", "a"), (("▁", "a"),)).facts()
            '7 parts of words (BPE); NFC, split at spaces and marks'
        """
        return f"{len(self):,} parts of words (BPE); {normal_facts(self.lower)}, split at spaces and marks"

    @cached_property
    def _parts(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self.letters, *(left + right for left, right in self.merges)]))

    @cached_property
    def _ranks(self) -> dict[tuple[str, str], int]:
        return {pair: rank for rank, pair in reversed(list(enumerate(self.merges)))}

    def _split(self, chunk: str) -> list[str]:
        return [part for word in _words(chunk) for part in merged(list(word), self._ranks)]

    def _joined(self, words: Iterable[str]) -> str:
        return "".join(words).replace(SPACE, " ").strip()

    def _bare(self, word: str) -> str:
        return word.replace(SPACE, "")


def merged(parts: list[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    """Return parts with all pairs merged, the lowest rank first and from left to right.

    Example:
        >>> merged(list("aaab"), {("a", "a"): 0, ("aa", "a"): 1})
        ['aaa', 'b']
    """
    while len(parts) > 1:
        pairs = list(pairwise(parts))
        best = min(pairs, key=lambda pair: ranks.get(pair, len(ranks)))
        if best not in ranks:
            break
        parts = list(_with_merged(parts, best))
    return parts


def _with_merged(parts: Sequence[str], pair: tuple[str, str]) -> Iterator[str]:
    place = 0
    while place < len(parts):
        both = tuple(parts[place : place + 2]) == pair
        yield "".join(pair) if both else parts[place]
        place += 1 + both


def _words(text: str) -> Iterator[str]:
    """Yield the words and marks of a text, with ``SPACE`` in front unless they touch the one before.

    What is longer than any word, such as a line of digits, is cut.
    """
    for piece, touches in touching(text.replace(SPACE, _INSTEAD)):
        word = piece if touches else SPACE + piece
        for first in range(0, len(word), _LONGEST):
            yield word[first : first + _LONGEST]


def _learnt(lines: Iterable[str], size: int, min_count: int) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the letters and merges that tokenizers learns."""
    try:
        from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    except ImportError:
        raise MissingExtraError("tokenizers", "text", "a vocabulary of parts of words") from None
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(vocab_size=size, min_frequency=min_count, show_progress=False)
    tokenizer.train_from_iterator(lines, trainer)
    learnt = json.loads(tokenizer.to_str())["model"]
    pairs = (pair.split(" ") if isinstance(pair, str) else pair for pair in learnt["merges"])
    return sorted(word for word in learnt["vocab"] if len(word) == 1), [
        (left, right) for left, right in pairs
    ]
