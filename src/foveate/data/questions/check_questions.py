"""Check questions before a study: pictures, answers that training does not know, answers given away.

Findings never raise; see ``Finding.severity`` for what stops a study.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from foveate.data.checks.check import check_pictures, worst_first
from foveate.data.checks.finding import Finding
from foveate.data.printable import printable
from foveate.data.questions.question_data import QuestionData, QuestionSplit
from foveate.data.questions.question_feed import Credit
from foveate.data.words.normal_text import normal
from foveate.data.words.text_faults import text_faults

OFTEN = 10  # times that a question has to be asked in training to say that it always has the same answer
GIVEN_AWAY = 0.5  # share of the test questions that their text alone answers, from which on it is a warning


def check_questions(data: QuestionData, credit: Credit) -> list[Finding]:
    """Return faults and peculiarities of the data, worst first.

    Args:
        data: What to check. Every picture is read and decoded once, on all processors.
        credit: What each answer is worth, given those of a question's annotators.
    """
    notes = [Finding("opened", "note", str(note)) for note in data.origin.get("notes") or ()]  # type: ignore[attr-defined]
    found = [*notes, *opening_warnings(data), *_texts(data), *_unseen(data), *_same_again(data)]
    found += [*_always_the_same(data), *_given_away(data, credit), *_caps(data)]
    return worst_first([*found, *check_pictures(data.pictures)])


def opening_warnings(data: QuestionData) -> list[Finding]:
    """Return the warnings of ``check_questions`` that need no picture opened: what was left out, and why."""
    return [Finding("opened", "warning", str(text)) for text in data.origin.get("warnings") or ()]  # type: ignore[attr-defined]


def answers_by_text(train: QuestionSplit, credit: Credit) -> tuple[dict[str, str], str]:
    """Return the best answer to each training question by its text alone, and the best for any other."""
    worth: dict[str, Counter[str]] = defaultdict(Counter)
    whole = Counter[str]()
    for text, some in zip(train.questions, train.answers, strict=True):
        own: Any = credit(some)
        worth[asked(text)].update(own)
        whole.update(own)
    return {text: _best(counts) for text, counts in worth.items()}, _best(whole)


def asked(text: str) -> str:
    """Return a question as it is compared with others."""
    return normal(text, lower=True)


def _best(counts: Mapping[str, float]) -> str:
    return min(counts, key=lambda answer: (-counts[answer], answer))


def _texts(data: QuestionData) -> Iterator[Finding]:
    found: dict[str, list[str]] = defaultdict(list)
    for split in data.splits.values():
        for name, text in zip(split.names, split.questions, strict=True):
            for kind in text_faults(text):
                found[kind].append(printable(name))
    for kind, names in found.items():
        what = kind.replace("_", " ")
        text = f"{len(names):,} questions with {what}s. Take the text from its source."
        yield Finding(kind, "warning", text, tuple(names))


def _unseen(data: QuestionData) -> Iterator[Finding]:
    """Find answers that no training question has: a model cannot give them."""
    known = {answer for some in data.splits["train"].answers for answer in some}
    for name, split in data.splits.items():
        bare = [n for n, some in enumerate(split.answers) if not known & {*some}] if name != "train" else []
        if bare:
            answers = tuple(f'{split.names[n]}: "{split.usual[n]}"' for n in bare)
            text = (
                f"{name}: the answers to {len(bare):,} of {len(split):,} questions do not occur in "
                "training; no model can give them. Add training questions with them, or leave these out."
            )
            yield Finding("unseen_answer", "warning", text, answers)


def _same_again(data: QuestionData) -> Iterator[Finding]:
    """Find questions that are asked twice about one picture."""
    twice = []
    for split in data.splits.values():
        seen = set[tuple[int, str]]()
        for name, picture, text in zip(split.names, split.picture.tolist(), split.questions, strict=True):
            key = picture, asked(text)
            if key in seen:
                twice.append(printable(name))
            seen.add(key)
    if twice:
        text = f"{len(twice):,} questions are asked about the same picture already. They count double."
        yield Finding("duplicate_question", "note", text, tuple(twice))


def _always_the_same(data: QuestionData) -> Iterator[Finding]:
    """Find questions that are asked often and always answered alike: nobody needs to look."""
    usual: dict[str, Counter[str]] = defaultdict(Counter)
    train = data.splits["train"]
    for text, answer in zip(train.questions, train.usual, strict=True):
        usual[asked(text)][answer] += 1
    found = [
        (text, counts.total(), next(iter(counts)))
        for text, counts in usual.items()
        if len(counts) == 1 and counts.total() >= OFTEN
    ]
    if found:
        found.sort(key=lambda one: -one[1])
        text = (
            f"{len(found):,} questions are asked at least {OFTEN} times in training and always have the same "
            "answer. Ask them of pictures with other answers too, or leave them out."
        )
        items = tuple(f'"{text}": {answer} ({often} times)' for text, often, answer in found)
        yield Finding("always_the_same_answer", "warning", text, items)


def _given_away(data: QuestionData, credit: Credit) -> Iterator[Finding]:
    """Say how far the questions alone answer the test questions."""
    train, test = data.splits["train"], data.splits["test"]
    by_text, usual = answers_by_text(train, credit)
    worth = [credit(some) for some in test.answers]
    guesses = [by_text.get(asked(text), usual) for text in test.questions]
    alone = sum(own.get(guess, 0.0) for own, guess in zip(worth, guesses, strict=True)) / len(test)
    plain = sum(own.get(usual, 0.0) for own in worth) / len(test)
    much = alone >= GIVEN_AWAY
    text = (
        f"the most frequent answer to the same words is right for {100 * alone:.1f} % of the test questions, "
        f'the most frequent answer of all ("{usual}") for {100 * plain:.1f} %. A study tells how far a model '
        "gets without the pictures."
    )
    items = () if not much else _most_given_away(test, guesses, worth)
    yield Finding("given_away", "warning" if much else "note", text, items)


def _most_given_away(
    test: QuestionSplit, guesses: list[str], worth: list[Mapping[str, float]]
) -> tuple[str, ...]:
    """Return the test questions, by their words, that are answered by words alone most often."""
    right: dict[str, list[float]] = defaultdict(list)
    for text, guess, own in zip(test.questions, guesses, worth, strict=True):
        right[asked(text)].append(own.get(guess, 0.0))
    ordered = sorted(right.items(), key=lambda pair: (-sum(pair[1]), pair[0]))
    return tuple(
        f'"{text}": {100 * sum(values) / len(values):.0f} % of {len(values)}' for text, values in ordered
    )


def _caps(data: QuestionData) -> Iterator[Finding]:
    """Say what blind models can reach, where the data knows."""
    for cap in data.caps:
        text = (
            f"{cap.family or 'all questions'}: a model that does not hear the question is right at most in "
            f"{100 * cap.goal_blind:.1f} %, one that does not see the picture in "
            f"{100 * cap.picture_blind:.1f} %."
        )
        yield Finding("cap", "note", text)
