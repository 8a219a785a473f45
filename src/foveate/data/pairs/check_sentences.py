"""Check sentences and their translations before a study: every line once.

Findings never raise; see ``Finding.severity`` for what stops a study.

Memory  16 bytes per pair, and the names of the lines that are found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from foveate.data.checks.check import worst_first
from foveate.data.checks.finding import Finding, Severity
from foveate.data.pairs.pair_data import PairData, PairSplit
from foveate.data.pairs.repetitions import counted, repetitions
from foveate.data.words.count_words import count_words
from foveate.data.words.guess_language import guess_language, language_code
from foveate.data.words.text_faults import text_faults

_LINES: dict[str, tuple[Severity, str]] = {
    "bad_utf8": (
        "warning",
        "{n} with bytes that are not UTF-8, which are read as U+FFFD. Convert the file: iconv -f "
        "WINDOWS-1252 -t UTF-8 FILE",
    ),
    "replacement_character": (
        "warning",
        "{n} with U+FFFD, where another program lost characters. Take the text from its source, or leave "
        "them out.",
    ),
    "mojibake": (
        "warning",
        "{n} with UTF-8 that was read in another encoding and saved again, such as Ã¼ for ü. Take the text "
        "from its source.",
    ),
    "control_character": (
        "warning",
        "{n} with control characters or characters of no width. Remove them.",
    ),
    "empty_line": ("warning", "{n} without a word outside train. Nothing can be right there: remove them."),
    "long_line": (
        "note",
        "{n} outside train of more than {longest} words. They are kept and translated whole.",
    ),
    "odd_ratio": (
        "warning",
        "{n} whose translation is more than three times as long or as short as is usual in this data. Are "
        "lines missing or joined?",
    ),
    "untranslated": (
        "warning",
        "{n} whose translation is the sentence itself, or nearly. Translate or remove them.",
    ),
}
_OF_TRAIN = 0.1  # of a split's lines that are not UTF-8: from here on it is an error
_ODD, _SHORT = 3.0, 60  # times the usual ratio; bytes of the longer side, below which it says nothing
_COPY, _FEW = 0.8, 4  # share of words that are the same; words of a sentence that can be a copy
_SAMPLE = 1000  # lines of which the language is guessed
_ALIGNED, _MANY = 0.3, 100  # correlation of lengths; pairs from which it says something


def check_sentences(data: PairData) -> list[Finding]:
    """Return faults and peculiarities of the data, worst first.

    Args:
        data: What to check. Every line is read once.
    """
    findings = [*_opened(data), *_languages(data)]
    findings += [found for name, split in data.splits.items() for found in _alignment(name, split)]
    return worst_first([*findings, *_lines(data), *repetitions(data)])


def _opened(data: PairData) -> Iterator[Finding]:
    for note in data.origin.get("notes") or ():  # type: ignore[attr-defined]
        yield Finding("opened", "note", str(note))
    yield from opening_warnings(data)


def opening_warnings(data: PairData) -> list[Finding]:
    """Return the warnings of ``check_sentences`` that need no line read: what was left out, and why."""
    return [Finding("opened", "warning", str(text)) for text in data.origin.get("warnings") or ()]  # type: ignore[attr-defined]


def _languages(data: PairData) -> Iterator[Finding]:
    """Find sides that are in the other's language, or in another one than their name says."""
    train = data.splits["train"]
    some = slice(None, None, -(-len(train) // _SAMPLE))
    names = (data.source_language, data.target_language)
    said = tuple(map(language_code, names))
    seen = tuple(guess_language(side[some]) for side in (train.source, train.target))
    if None not in seen and said == seen[::-1] and seen[0] != seen[1]:
        yield Finding(
            "swapped_languages",
            "warning",
            f"the source, called {names[0]}, reads like {seen[0]}, and the target, called {names[1]}, like "
            f"{seen[1]}. Swap --source and --target, or rename the files.",
        )
        return
    for side, name, code, guess in zip(("source", "target"), names, said, seen, strict=True):
        if code is not None and guess is not None and code != guess:
            text = f"the {side}, called {name}, reads like {guess}. Is it the right file?"
            yield Finding("other_language", "warning", text)


def _alignment(name: str, split: PairSplit) -> Iterator[Finding]:
    """Find splits in which long sentences do not have long translations."""
    sides = [np.log1p((side.ends - side.starts).astype(np.float64)) for side in (split.source, split.target)]
    if len(split) < _MANY or min(side.std() for side in sides) == 0:
        return
    correlation = float(np.corrcoef(*sides)[0, 1])
    if correlation < _ALIGNED:
        text = (
            f"{name}: the lengths of sentences and translations have little in common (correlation "
            f"{correlation:.2f}; usual is 0.7 and more). Does line n translate line n?"
        )
        yield Finding("misaligned", "warning", text)


def _lines(data: PairData) -> Iterator[Finding]:
    found: dict[str, list[str]] = {kind: [] for kind in _LINES}
    broken = Counter[str]()
    for name, split in data.splits.items():
        odd = _odd(split)
        for item, (source, target) in enumerate(zip(split.source, split.target, strict=True)):
            for side, lines, text in (("source", split.source, source), ("target", split.target, target)):
                if text.isascii() and text.isprintable():
                    continue
                for kind in text_faults(text, lines.raw(item)):
                    found[kind].append(f"{split.names[item]} ({side})")
                    broken[name] += kind == "bad_utf8"
            for kind in _of_pair(source, target, outside=name != "train", longest=data.longest):
                found[kind].append(split.names[item])
            if odd[item]:
                found["odd_ratio"].append(split.names[item])
    most = max((broken[name] / (2 * len(split)) for name, split in data.splits.items()), default=0.0)
    for kind, items in found.items():
        severity, text = _LINES[kind]
        if kind == "bad_utf8" and most > _OF_TRAIN:
            severity = "error"
        if items:
            said = text.format(n=counted(items, "line"), longest=data.longest)
            yield Finding(kind, severity, said, tuple(items))


def _of_pair(source: str, target: str, *, outside: bool, longest: int | None) -> Iterator[str]:
    if outside:
        counts = count_words(source), count_words(target)
        if min(counts) == 0:
            yield "empty_line"
        if longest is not None and max(counts) > longest:
            yield "long_line"
    if _is_copy(source, target):
        yield "untranslated"


def _is_copy(source: str, target: str) -> bool:
    words = source.casefold().split(), target.casefold().split()
    longer = max(map(len, words))
    if longer < _FEW or min(map(len, words)) < _COPY * longer:
        return False
    return (Counter(words[0]) & Counter(words[1])).total() >= _COPY * longer


def _odd(split: PairSplit) -> np.ndarray:
    """Return which pairs have a ratio of lengths far from the usual one."""
    source, target = ((side.ends - side.starts).astype(np.float64) for side in (split.source, split.target))
    both = (source > 0) & (target > 0)
    if not both.any():
        return both
    ratio = np.log(np.maximum(target, 1) / np.maximum(source, 1))
    usual = np.median(ratio[both])
    found: np.ndarray = both & (np.abs(ratio - usual) > np.log(_ODD)) & (np.maximum(source, target) >= _SHORT)
    return found
