"""Open questions about pictures: a table, a list of objects, VQA's files, or the built-in scenes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from foveate.data.base import SPLITS
from foveate.data.captions.find_captions import CaptionFiles, picture_paths
from foveate.data.images.common_levels import common_reading
from foveate.data.images.open_image import MOST_PIXELS, Reading
from foveate.data.open import call_opener, means_scenes, scene_words
from foveate.data.pairs.divide import test_shares
from foveate.data.pictured import contents_of, unlabelled
from foveate.data.printable import printable
from foveate.data.questions.asked import AskedOf
from foveate.data.questions.find_questions import QuestionFile, find_questions
from foveate.data.questions.normal_answer import normal_answer
from foveate.data.questions.open_scene_questions import open_scene_questions
from foveate.data.questions.question_data import QuestionData, QuestionSplit
from foveate.data.questions.read_questions import question_records
from foveate.data.splits import SHARES, Shares, cut
from foveate.errors import DataError, OptionError, first_few
from foveate.quantities import agreeing

_FEW = 0.01  # of the pictures that may be missing; their questions are then left out
_SCENES = ("size", "digits", "strokes", "families", "train", "val", "test")

Parts = dict[str, list[AskedOf]]


def open_questions(
    what: str | Path | Iterable[Mapping[str, object]] | None,
    /,
    *,
    questions: str | None = None,
    annotations: str | None = None,
    images: str | None = None,
    shares: Shares = SHARES,
    seed: int = 0,
    max_pixels: int = MOST_PIXELS,
    size: int | None = None,
    digits: int | None = None,
    strokes: int | None = None,
    families: str | None = None,
    train: int | None = None,
    val: int | None = None,
    test: int | None = None,
) -> QuestionData:
    """Open questions about pictures.

    Args:
        what: None, "scenes" or "scenes(train=8000, families=marked)" for the built-in scenes with questions;
            a folder with pictures and questions; the file of the questions; or a list of objects, such as
            ``{"image": "1.jpg", "question": "how many dogs?", "answers": ["2", "two"], "split": "train"}``.
        questions: The file of the questions, from the folder, if there are several.
        annotations: Of VQA's questions, the file of the answers, likewise.
        images: The folder of the pictures, from the one that is opened; searched for if None.
        shares: Of train, val and test, where they are drawn, picture by picture.
        seed: Decides what is drawn; of scenes, everything.
        max_pixels: Pixels of the largest picture that is decoded.
        size: Of scenes only, as are the following; see ``open_scene_questions``.
        digits: How many a scene shows.
        strokes: Lines of clutter.
        families: Which questions are asked.
        train: How many training scenes.
        val: How many validation scenes.
        test: How many test scenes.

    Returns:
        The questions, all about one picture in the same split. Without a test split, one is drawn from train.
        Questions without text or answers, and those about pictures that are missing (up to one in a hundred
        pictures), are left out and counted.

    Raises:
        DataError: Nothing of the kind is there, it cannot be read, or more pictures are missing.
        OptionError: Several files could be meant, or an option does not go with the source.
    """
    of_scenes = {name: value for name, value in locals().items() if name in _SCENES and value is not None}
    if what is None or means_scenes(what):
        words = {"seed": seed, **scene_words(what or "scenes"), **of_scenes}
        return call_opener("scenes with questions", open_scene_questions, words)
    if of_scenes:
        name = next(iter(of_scenes))
        raise OptionError(f"{name}: is an option of scenes, but these are questions of yours. Leave it out.")
    notes: list[str] = []
    warnings: list[str] = []
    if isinstance(what, str | Path):
        place = Path(what).expanduser().resolve()
        files, root = _files(place, questions, annotations), place if place.is_dir() else place.parent
        parts = _divided(files, notes)
        name = place.stem if place.is_file() else place.name
        origin: dict[str, object] = {"source": printable(str(place))}
    else:
        files, root = {}, Path().resolve()
        parts = _by_split(question_records(what))
        name, origin = "questions", {"source": None, "description": "a list of questions"}
    _find({split: file.path for split, file in files.items()}, root, parts, images, warnings)
    parts = {split: _kept(split, some, warnings) for split, some in parts.items()}
    parts = _with_test(parts, shares, seed, notes)
    paths = {one.path for some in parts.values() for one in some if one.path is not None}
    how, said = common_reading(sorted(paths), max_pixels)
    splits = {split: _split(parts[split], how) for split in SPLITS if parts.get(split)}
    given = {"questions": questions, "annotations": annotations, "images": images}
    options: dict[str, object] = {option: value for option, value in given.items() if value is not None}
    options |= {"max_pixels": max_pixels} if max_pixels != MOST_PIXELS else {}
    return QuestionData(
        name=printable(name),
        splits=splits,
        origin={
            **origin,
            "options": {**options, "shares": list(shares), "seed": seed},
            "notes": [*notes, *said],
            "warnings": warnings,
        },
        contents=contents_of(splits, how),
    )


def _files(place: Path, questions: str | None, annotations: str | None) -> dict[str, QuestionFile]:
    if not place.exists():
        raise DataError(f"{place}: no such file or folder. Give pictures with questions, or their file.")
    files = find_questions(place, questions, annotations)
    if files is None:
        raise DataError(
            f"{place}: no questions with answers are here. Expected a table image,question,answer, a list "
            '[{"image": "1.jpg", "question": "...", "answer": "..."}], or the two files of VQA.'
        )
    for file in files.values():
        if file.kind == "vqa" and file.annotations is None:
            raise DataError(
                f"{file.path}: the file of its answers is not found. Say which: --annotations FILE (in "
                "Python annotations=)."
            )
    return files


def _divided(files: Mapping[str, QuestionFile], notes: list[str]) -> Parts:
    """Return the questions by split, those of no split under the empty name."""
    if "" not in files:
        return {split: file.read() for split, file in files.items()}
    parts = _by_split(files[""].read())
    if "train" in parts and "" in parts:
        left = parts.pop("")
        notes.append(agreeing(len(left), "{n} [question is|questions are] in no split and [is|are] not used"))
    return parts


def _by_split(every: Iterable[AskedOf]) -> Parts:
    parts: Parts = {}
    for one in every:
        parts.setdefault(one.split or "", []).append(one)
    return parts


def _find(
    files: Mapping[str, Path], root: Path, parts: Parts, images: str | None, warnings: list[str]
) -> None:
    """Look for the file of each picture; a few may be missing.

    Raises:
        DataError: Many are missing.
    """
    known = CaptionFiles(files, root)
    for split, some in parts.items():
        left = some
        for turn in range(max((len(one.picture) for one in some), default=0)):
            names = list(dict.fromkeys(one.picture[turn] for one in left if turn < len(one.picture)))
            paths = picture_paths(known, split, names, images)
            for one in left:
                one.path = paths.get(one.picture[turn]) if turn < len(one.picture) else None
            left = [one for one in left if one.path is None]
            if not left:
                break
    every = {one.name for some in parts.values() for one in some}
    lost = [one for some in parts.values() for one in some if one.path is None]
    missing = [printable(name) for name in dict.fromkeys(one.name for one in lost)]
    if len(missing) > _FEW * len(every):
        where = first_few(files.values()) or "questions"
        raise DataError(
            f"{where}: {len(missing):,} of {len(every):,} pictures are not found: {first_few(missing)}. Say "
            f"where they are: --images FOLDER (in Python images=), from {root}."
        )
    if missing:
        warnings.append(
            agreeing(
                len(lost),
                "{n} [question is|questions are] left out, as their pictures are missing: {names}.",
                names=first_few(missing),
            )
        )


def _kept(split: str, some: Sequence[AskedOf], warnings: list[str]) -> list[AskedOf]:
    """Return the questions that can be used, with their answers in normal form."""
    kept, bare, mute = list[AskedOf](), list[str](), list[str]()
    for one in some:
        if one.path is None:
            continue
        one.answers = [normal_answer(text) for text in one.answers if text.strip()]
        if not one.question:
            mute.append(one.name)
        elif not one.answers:
            bare.append(one.name)
        else:
            kept.append(one)
    where = f"{split}: " if split else ""
    for names, what in (
        (mute, "[question has|questions have] no words"),
        (bare, "[question has|questions have] no answer"),
    ):
        if names:
            said = agreeing(len(names), f"{{n}} {what} and [is|are] left out")
            warnings.append(f"{where}{said}: {first_few(map(printable, dict.fromkeys(names)))}.")
    return kept


def _with_test(parts: Parts, shares: Shares, seed: int, notes: list[str]) -> Parts:
    """Return parts with a split train and a split test, drawn picture by picture where there is none."""
    whole_part = "" if parts.get("") else "train"
    if parts.get("test") or not parts.get(whole_part):
        return parts
    kept = {name: some for name, some in parts.items() if some and name != whole_part}
    shares = test_shares(shares) if "val" in kept else shares
    pictures = sorted({str(one.path) for one in parts[whole_part]})
    chosen = cut(np.zeros(len(pictures), dtype=np.int64), seed=seed, shares=shares)
    place = {pictures[item]: name for name, items in chosen.items() for item in items.tolist()}
    drawn: Parts = {name: [] for name in chosen}
    for one in parts[whole_part]:
        drawn[place[str(one.path)]].append(one)
    sizes = ", ".join(f"{name} {len(part):,}" for name, part in drawn.items())
    notes.append(f"drawn by seed {seed}, picture by picture, from questions without a test split: {sizes}")
    return {**kept, **drawn}


def _split(some: Sequence[AskedOf], how: Reading) -> QuestionSplit:
    names: dict[Path, str] = {}
    for one in some:
        if one.path is not None:
            names.setdefault(one.path, printable(one.path.name if len(one.picture) > 1 else one.name))
    number = {path: place for place, path in enumerate(names)}
    pictures = unlabelled(list(names), list(names.values()), how)
    return QuestionSplit(
        pictures,
        np.array([number[one.path] for one in some if one.path is not None], dtype=np.int64),
        tuple(printable(one.question) for one in some),
        tuple(tuple(map(printable, one.answers)) for one in some),
        tuple(printable(one.family) for one in some),
    )
