"""Questions in files: tables, lists of objects, and VQA's pairs of files.

image,question,answer,split,family         answers of several annotators: answers, parted by |
[{"image": "1.jpg", "question": "...", "answers": ["yes", "no"], "split": "train"}]     (or .jsonl)
{"questions": [{"question_id": 1, "image_id": 9, "question": "..."}]} and
{"annotations": [{"question_id": 1, "answers": [{"answer": "yes"}], "multiple_choice_answer": "yes"}]}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from foveate.data.captions.captioned import stated_split
from foveate.data.captions.read_caption_json import FILES
from foveate.data.captions.read_caption_text import header_of, table_rows
from foveate.data.pairs.read_lines import read_lines
from foveate.data.questions.asked import AskedOf
from foveate.errors import DataError
from foveate.files import read_json

LARGEST = 2**32  # bytes of a file
PICTURES = (*FILES, "image_name", "image_id")
TEXTS = ("question", "goal")
ANSWERS = ("answers", "answer", "label")
BETWEEN = "|"  # the answers of several annotators in one cell
_ENDINGS = (".jpg", ".png", ".jpeg")
_ADVICE = 'Give a table image,question,answer or [{"image": "1.jpg", "question": "...", "answer": "..."}].'


def is_question_table(file: Path) -> bool:
    """Return whether the first line of a file names columns of pictures, questions and answers."""
    return _columns(header_of(file)) is not None


def read_question_table(file: Path) -> list[AskedOf]:
    """Return the questions of a table.

    Raises:
        DataError: It cannot be read; the text names the line.
    """
    head = header_of(file)
    places = _columns(head)
    if places is None:
        raise DataError(f"{file}: the first line names no picture, question and answer: {head}. {_ADVICE}")
    picture, question, answer, split, family = places
    found = []
    for number, cells in table_rows(file):
        where = f"{file}, line {number}"
        if len(cells) <= max(picture, question, answer):
            raise DataError(
                f"{where}: {len(cells)} cells, expected {len(head)}: {', '.join(head)}. Quote questions that "
                "hold the separator."
            )
        texts = cells[answer].split(BETWEEN) if head[answer] == "answers" else [cells[answer]]
        found.append(
            AskedOf(
                (cells[picture].strip(),),
                cells[question].strip(),
                [text.strip() for text in texts],
                stated_split(_cell(cells, split), where),
                (_cell(cells, family) or "").strip(),
            )
        )
    return found


def read_question_list(file: Path) -> list[AskedOf]:
    """Return the questions of a .json list or of a .jsonl file.

    Raises:
        DataError: It cannot be read; the text names the entry.
    """
    if file.suffix.lower() in (".jsonl", ".ndjson"):
        return question_records(_objects(file), str(file))
    found = read_json(file, DataError, _ADVICE, largest=LARGEST)
    if not isinstance(found, list):
        raise DataError(f"{file}: holds no list of questions. {_ADVICE}")
    return question_records(found, str(file))


def question_records(entries: Iterable[object], origin: str = "questions") -> list[AskedOf]:
    """Return the questions of a list of objects.

    Raises:
        DataError: One has no picture, question or answer; the text names the entry.
    """
    found = []
    for number, entry in enumerate(entries):
        where = f"{origin}, entry {number}"
        if not isinstance(entry, Mapping):
            raise DataError(f"{where}: is not an object. {_ADVICE}")
        picture, text, answers = (_first(entry, names) for names in (PICTURES, TEXTS, ANSWERS))
        if picture is None or not isinstance(text, str) or answers is None:
            raise DataError(f"{where}: needs a picture, a question and an answer. {_ADVICE}")
        found.append(
            AskedOf(
                (str(picture),),
                text.strip(),
                _answers(answers, where),
                stated_split(entry.get("split"), where),
                str(entry.get("family", "")).strip(),
            )
        )
    return found


def read_vqa(questions: Path, annotations: Path | None) -> list[AskedOf]:
    """Return the questions of VQA's files; those without annotations have no answers.

    Pictures go by their number: COCO_train2014_000000000009.jpg, 000000000009.jpg or 9.jpg.

    Raises:
        DataError: A file cannot be read, or holds something else; the text names the entry.
    """
    whole = _entries(questions, "questions")
    answers: dict[object, list[str]] = {}
    if annotations is not None:
        for number, note in enumerate(_entries(annotations, "annotations")[0]):
            where = f"{annotations}, annotations[{number}]"
            if not isinstance(note, Mapping) or "question_id" not in note:
                raise DataError(f"{where}: has no question_id. Is this VQA's file of annotations?")
            given = note.get("answers") or note.get("multiple_choice_answer")
            if given is None:
                raise DataError(f"{where}: has neither answers nor multiple_choice_answer.")
            answers[note["question_id"]] = _answers(given, where)
    found = []
    for number, entry in enumerate(whole[0]):
        where = f"{questions}, questions[{number}]"
        if not isinstance(entry, Mapping) or not {"question_id", "image_id", "question"} <= {*entry}:
            raise DataError(f"{where}: needs question_id, image_id and question.")
        found.append(
            AskedOf(
                _numbered(entry["image_id"], whole[1]),
                str(entry["question"]).strip(),
                answers.get(entry["question_id"], []),
            )
        )
    if annotations is not None and found and not any(one.answers for one in found):
        raise DataError(
            f"{annotations}: answers none of the questions in {questions.name}: no question_id is in both."
        )
    return found


def _entries(file: Path, key: str) -> tuple[Sequence[object], str]:
    """Return a list of VQA's file, and which part of COCO it is about."""
    found = read_json(file, DataError, "Give VQA's files of questions and of annotations.", largest=LARGEST)
    some = found.get(key) if isinstance(found, Mapping) else None
    if not isinstance(some, list):
        raise DataError(f"{file}: holds no list of {key}. Give VQA's files of questions and of annotations.")
    return some, str(found.get("data_subtype", ""))


def _numbered(picture: object, part: str) -> tuple[str, ...]:
    """Return the names that the picture of a number may have, best first."""
    text = str(picture)
    padded = text.zfill(12)
    stems = (f"COCO_{part}_{padded}",) * bool(part) + (padded, text)
    return (*(stem + ending for stem in stems for ending in _ENDINGS), text)


def _answers(given: Any, where: str) -> list[str]:
    some = [given] if isinstance(given, str | int | float | Mapping) else given
    if not isinstance(some, Sequence):
        raise DataError(f"{where}: its answers are not a text or a list of texts. {_ADVICE}")
    texts = [one.get("answer") if isinstance(one, Mapping) else one for one in some]
    if not all(isinstance(text, str | int | float) for text in texts):
        raise DataError(f"{where}: an answer is not text. {_ADVICE}")
    return [str(text).strip() for text in texts]


def _objects(file: Path) -> Iterator[object]:
    for number, line in enumerate(read_lines(file), 1):
        if line.strip():
            try:
                yield json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{file}, line {number}: is not JSON ({error}). Correct it.") from None


def _first(entry: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((entry[name] for name in names if entry.get(name) is not None), None)


def _cell(cells: Sequence[str], place: int | None) -> str | None:
    return cells[place] if place is not None and place < len(cells) else None


def _columns(head: Sequence[str]) -> tuple[int, int, int, int | None, int | None] | None:
    picture, question, answer, split, family = (
        next((head.index(name) for name in names if name in head), None)
        for names in (PICTURES, TEXTS, ANSWERS, ("split",), ("family",))
    )
    if picture is None or question is None or answer is None:
        return None
    return picture, question, answer, split, family
