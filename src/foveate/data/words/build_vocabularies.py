"""The vocabularies of training texts, as options name them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Literal

from foveate.data.words.bpe_vocabulary import BytePairVocabulary
from foveate.data.words.vocabulary import Vocabulary
from foveate.data.words.word_vocabulary import SplitAt, WordVocabulary
from foveate.errors import OptionError

Units = Literal["words", "bpe"]


def build_vocabulary(
    texts: Iterable[str],
    *,
    units: Units = "words",
    size: int | None = None,
    min_count: int | None = None,
    lower: bool = False,
    split: SplitAt = "marks",
) -> Vocabulary:
    """Return the vocabulary of texts.

    Args:
        texts: The training texts, read once.
        units: Whole words, or parts of words.
        size: V at most; None for no limit with words, and 8,000 with parts.
        min_count: How often a word has to occur (1 if None), or a pair of parts to be merged (2 if None).
        lower: Whether capitals become small letters.
        split: Where texts are split into words.

    Raises:
        DataError: The texts hold no word that occurs often enough.
        OptionError: A number is impossible.
        MissingExtraError: Parts of words need tokenizers.
    """
    if units == "words":
        return WordVocabulary.of(texts, min_count=min_count or 1, max_size=size, lower=lower, split=split)
    if split != "marks":
        raise OptionError(
            f"split: got {split!r} with units='bpe', which splits at marks. Leave it out, or write "
            "units='words'."
        )
    return BytePairVocabulary.of(texts, size=size or 8000, min_count=min_count or 2, lower=lower)


def build_vocabularies(
    source: Iterable[str],
    target: Iterable[str],
    *,
    joint: bool = False,
    units: Units = "words",
    size: int | None = None,
    min_count: int | None = None,
    lower: bool = False,
) -> tuple[Vocabulary, Vocabulary]:
    """Return the vocabularies of two languages; one and the same for both if they are ``joint``.

    Args:
        source: The training texts of one language.
        target: Those of the other.
        joint: Whether both languages share a vocabulary, learnt from the texts of both.
        units: See ``build_vocabulary``; likewise the following.
        size: Of each vocabulary.
        min_count: How often a word or pair has to occur.
        lower: Whether capitals become small letters.
    """
    if joint:
        both = build_vocabulary(
            chain(source, target), units=units, size=size, min_count=min_count, lower=lower
        )
        return both, both
    first, second = (
        build_vocabulary(texts, units=units, size=size, min_count=min_count, lower=lower)
        for texts in (source, target)
    )
    return first, second
