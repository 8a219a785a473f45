"""What a vocabulary is: texts as word numbers, and back.

Numbers  pad 0, unknown 1, start 2, end 3; the first word is 4.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import fields
from functools import cached_property
from itertools import takewhile
from typing import Any

from foveate.data.words.normal_text import normal
from foveate.data.words.special import END, FIRST, PAD, PRINTED, START, UNKNOWN
from foveate.errors import OptionError

_REMEMBERED, _LONG = 200_000, 100  # chunks of a text whose numbers are kept, and the letters of such


class Vocabulary(ABC):
    """The words that a model knows, numbered.

    ``decode(encode(text))`` is the text in its normal form (see ``normal_text``), wherever it is made of
    words that the vocabulary has.

    Attributes:
        lower: Whether capitals become small letters.
    """

    lower: bool

    @property
    @abstractmethod
    def words(self) -> Sequence[str]:
        """The words from number 4 on, as they are spelled in the vocabulary."""

    @abstractmethod
    def plain(self) -> dict[str, Any]:
        """Return the vocabulary as plain data, for ``read_vocabulary``; JSON does not change it."""

    @abstractmethod
    def facts(self) -> str:
        """Return in one line how large it is and what it does to a text."""

    @abstractmethod
    def _split(self, chunk: str) -> list[str]:
        """Return the words of what lies between two spaces of a text in its normal form."""

    @abstractmethod
    def _joined(self, words: Iterable[str]) -> str:
        """Return the text of words."""

    @abstractmethod
    def _bare(self, word: str) -> str:
        """Return a word as it is read."""

    def __len__(self) -> int:
        """Return V: the words, and the four special ones."""
        return FIRST + len(self.words)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.facts()})"

    def encode(self, text: str) -> list[int]:
        """Return the numbers of a text's words, and at last that of the end.

        Example:
            >>> from foveate.data.words.word_vocabulary import WordVocabulary
            >>> WordVocabulary(("a", "dog")).encode("a dog barks")
            [4, 5, 1, 3]
        """
        found: list[int] = []
        for chunk in normal(text, lower=self.lower).split():
            found += self._remembered.get(chunk) or self._numbered(chunk)
        return [*found, END]

    def decode(self, numbers: Iterable[int]) -> str:
        """Return the text of word numbers, up to the first end; start and padding are left out.

        A word that the vocabulary did not have is printed as ``<unk>``.

        Raises:
            OptionError: There is no word of such a number.
        """
        return self._joined(self._named(numbers))

    def pieces(self, numbers: Iterable[int]) -> list[str]:
        """Return the words of these numbers one by one, as a reader sees them, up to the end and without it.

        Raises:
            OptionError: There is no word of such a number.
        """
        return [self._bare(word) for word in self._named(numbers)]

    def _named(self, numbers: Iterable[int]) -> list[str]:
        some = [int(number) for number in takewhile(lambda number: int(number) != END, numbers)]
        wrong = [number for number in some if not 0 <= number < len(self)]
        if wrong:
            raise OptionError(
                f"decode: got the word number {wrong[0]}, expected 0 to {len(self) - 1}: is this the "
                "vocabulary that the model was trained with?"
            )
        return [self._spelled[number] for number in some if number not in (PAD, START)]

    def _numbered(self, chunk: str) -> tuple[int, ...]:
        """Return the numbers of what lies between two spaces, and remember them: most of it occurs again."""
        found = tuple(self._numbers.get(word, UNKNOWN) for word in self._split(chunk))
        if len(self._remembered) < _REMEMBERED and len(chunk) <= _LONG:
            self._remembered[chunk] = found
        return found

    @cached_property
    def _remembered(self) -> dict[str, tuple[int, ...]]:
        return {}

    @cached_property
    def _spelled(self) -> tuple[str, ...]:
        return (*PRINTED, *self.words)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words, FIRST)}

    def __getstate__(self) -> dict[str, Any]:
        """Pickle and copy the vocabulary without what it remembers."""
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
