"""A vocabulary from its plain data, as plans and saved models carry it.

All of it is checked, since the file may be a stranger's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from foveate.data.words.bpe_vocabulary import BytePairVocabulary
from foveate.data.words.vocabulary import Vocabulary
from foveate.data.words.word_vocabulary import SplitAt, WordVocabulary
from foveate.typed import Misfit, fitted, quoted

MOST = 2**22  # words; the largest published vocabularies have a tenth of that
LONGEST = 1000  # letters of a word


class _Words(TypedDict):
    words: list[str]
    lower: bool
    split: SplitAt
    min_count: int


class _Parts(TypedDict):
    letters: list[str]
    merges: list[str]
    lower: bool


def read_vocabulary(plain: object, path: str = "vocabulary") -> Vocabulary:
    """Return the vocabulary of plain data.

    Args:
        plain: What ``Vocabulary.plain`` returned.
        path: Where it is, for messages.

    Raises:
        Misfit: It is damaged: an entry is missing, of another type, listed twice, empty, or not a word.
    """
    if not isinstance(plain, Mapping):
        raise Misfit(path, quoted(plain), "a vocabulary: values by name")
    kind = fitted(plain.get("kind"), Literal["words", "bpe"], f"{path}.kind")
    return _words(plain, path) if kind == "words" else _parts(plain, path)


def _words(plain: Mapping[str, Any], path: str) -> Vocabulary:
    found: _Words = fitted(plain, _Words, path)
    _check(found["words"], f"{path}.words")
    if found["min_count"] < 1:
        raise Misfit(f"{path}.min_count", str(found["min_count"]), "a whole number of at least 1")
    return WordVocabulary(tuple(found["words"]), found["lower"], found["split"], found["min_count"])


def _parts(plain: Mapping[str, Any], path: str) -> Vocabulary:
    found: _Parts = fitted(plain, _Parts, path)
    _check(found["letters"], f"{path}.letters")
    long = next((number for number, letter in enumerate(found["letters"]) if len(letter) != 1), None)
    if long is not None:
        raise Misfit(f"{path}.letters[{long}]", quoted(found["letters"][long]), "one character")
    if len(found["merges"]) > MOST:
        raise Misfit(f"{path}.merges", f"{len(found['merges'])} merges", f"at most {MOST}")
    known, merges = set(found["letters"]), dict[tuple[str, str], None]()
    for number, text in enumerate(found["merges"]):
        pair = tuple(text.split(" "))
        if len(pair) != 2 or not known.issuperset(pair) or len(text) > LONGEST:
            raise Misfit(
                f"{path}.merges[{number}]", quoted(text), "two known parts with a space between them"
            )
        if pair in merges:
            raise Misfit(f"{path}.merges[{number}]", f"{quoted(text)} again", "every pair once")
        merges[pair] = None
        known.add("".join(pair))
    return BytePairVocabulary(tuple(found["letters"]), tuple(merges), found["lower"])


def _check(words: Sequence[str], path: str) -> None:
    """Raise unless these are different words without white space, which can be written as UTF-8."""
    if not 0 < len(words) <= MOST:
        raise Misfit(path, f"{len(words)} words", f"1 to {MOST}")
    seen = set[str]()
    for number, word in enumerate(words):
        where = f"{path}[{number}]"
        if not word or word.split() != [word] or len(word) > LONGEST or not _is_unicode(word):
            raise Misfit(where, quoted(word), "a word: 1 to 1000 characters without white space")
        if word in seen:
            raise Misfit(where, f"{quoted(word)} again", "every word once")
        seen.add(word)


def _is_unicode(word: str) -> bool:
    """Return whether a word has no half of a surrogate pair."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True
