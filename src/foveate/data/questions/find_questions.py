"""Which files of a folder hold questions, and which annotations belong to which questions."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from foveate.data.base import SPLITS
from foveate.data.folders.name_words import meaning
from foveate.data.folders.walk import visible_folders
from foveate.data.images.open_image import check_file
from foveate.data.questions.asked import AskedOf
from foveate.data.questions.read_questions import (
    is_question_table,
    read_question_list,
    read_question_table,
    read_vqa,
)
from foveate.errors import DataError, OptionError, first_few

_JSON, _TABLES = (".json", ".jsonl", ".ndjson"), (".csv", ".tsv")
_MANY = 100  # files of one folder that may hold questions


@dataclass(frozen=True)
class QuestionFile:
    """What holds questions.

    Args:
        path: The file.
        kind: "vqa", "list" or "table".
        annotations: Of VQA's questions, the file of their answers; None if it is missing.
    """

    path: Path
    kind: str
    annotations: Path | None = None

    def read(self) -> list[AskedOf]:
        """Return its questions."""
        if self.kind == "vqa":
            return read_vqa(self.path, self.annotations)
        return read_question_list(self.path) if self.kind == "list" else read_question_table(self.path)


def kind_of(file: Path) -> str | None:
    """Return which kind of questions a file holds, "annotations", or None; little of it is read."""
    if file.suffix.lower() in _TABLES:
        return "table" if is_question_table(file) else None
    if file.suffix.lower() not in _JSON:
        return None
    try:
        check_file(file)
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as text:
            has = {
                word for word in ("questions", "question", "question_id", "annotations", "answer", "answers")
                if text.find(f'"{word}"'.encode()) >= 0
            }  # fmt: skip
            listed = text[:100].lstrip()[:1] == b"["
    except (OSError, ValueError, DataError):  # empty, not a file, or not readable
        return None
    if "question_id" in has and "questions" in has:
        return "vqa"
    if "question_id" in has and "annotations" in has:
        return "annotations"
    lists = listed or file.suffix.lower() != ".json"
    return "list" if lists and "question" in has and has & {"answer", "answers"} else None


def find_questions(
    path: Path, named: str | None = None, annotations: str | None = None
) -> dict[str, QuestionFile] | None:
    """Return the files that hold the questions of a folder, by split, one alone under the empty name.

    Args:
        path: A file, or a folder with some at most one folder below.
        named: The file of a folder that the user means, relative to it.
        annotations: That of the answers to VQA's questions, likewise.

    Raises:
        DataError: A named file is not there.
        OptionError: There are several, and it is not clear which is meant.
    """
    root = path.parent if path.is_file() else path
    for word in (named, annotations):
        if word is not None and not (root / word).is_file():
            raise DataError(f"{root / word}: there is no such file. Name it from the folder {root}.")
    if path.is_file() or named is not None:
        file = path if path.is_file() else root / str(named)
        kind = kind_of(file)
        if kind in (None, "annotations"):
            return None
        others = [root / annotations] if annotations else _annotations(list(_candidates(file.parent)))
        return {"": _with_annotations(file, str(kind), others)}
    kinds = {file: kind for file in _candidates(path) if (kind := kind_of(file)) is not None}
    notes = [root / annotations] if annotations else [f for f, kind in kinds.items() if kind == "annotations"]
    for kind in ("vqa", "list", "table"):
        files = [file for file, found in kinds.items() if found == kind]
        by_split = _by_split(path, files)
        if "train" in by_split:
            return {split: _with_annotations(file, kind, notes) for split, file in by_split.items()}
        if len(files) > 1:
            names = first_few(file.relative_to(path).as_posix() for file in files)
            raise OptionError(
                f"{path}: several files hold questions: {names}. Say which: --questions "
                f"{files[0].relative_to(path).as_posix()} (in Python questions=)"
            )
        if files:
            return {"": _with_annotations(files[0], kind, notes)}
    return None


def _with_annotations(file: Path, kind: str, notes: list[Path]) -> QuestionFile:
    """Return a file with its answers: those of the same split, or the only ones."""
    if kind != "vqa":
        return QuestionFile(file, kind)
    split = meaning(file.stem).split
    own = [note for note in notes if meaning(note.stem).split == split] or (notes if len(notes) == 1 else [])
    return QuestionFile(file, kind, own[0] if own else None)


def _annotations(files: list[Path]) -> list[Path]:
    return [file for file in files if file.suffix.lower() == ".json" and kind_of(file) == "annotations"]


def _candidates(path: Path) -> Iterator[Path]:
    for folder in (path, *visible_folders(path)):
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.name.lower().endswith((*_JSON, *_TABLES)))
        if len(names) <= _MANY:
            yield from (folder / name for name in names if name[0] != ".")


def _by_split(root: Path, files: list[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in files:
        names = [file.stem, *([file.parent.name] if file.parent != root else [])]
        split = next((split for name in names if (split := meaning(name).split) in SPLITS), None)
        if split is not None:
            found.setdefault(split, file)
    return found
