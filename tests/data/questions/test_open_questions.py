"""Questions in tables, lists and VQA's files; what is left out, and what the check finds."""

import json

import numpy as np
import pytest
from PIL import Image

from foveate.data.questions.normal_answer import normal_answer
from foveate.errors import DataError, OptionError
from foveate.tasks.open_source import task_for
from foveate.tasks.question import Question

ENTRIES = [
    {"image": f"{n}.png", "question": "what colour is it?", "answer": ("red", "blue")[n % 2], "split": split}
    for n, split in enumerate(["train"] * 6 + ["val", "val"] + ["test"] * 4)
]


def pictures(folder, names):
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        pixels = np.random.default_rng(number).integers(0, 255, (16, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)


@pytest.fixture
def folder(tmp_path):
    pictures(tmp_path / "pictures", [entry["image"] for entry in ENTRIES])
    return tmp_path


def write(path, entries, form):
    if form == "csv":
        rows = [",".join(entries[0]), *(",".join(map(str, entry.values())) for entry in entries)]
        path.write_text("\n".join(rows), encoding="utf-8")
    elif form == "jsonl":
        path.write_text("\n".join(map(json.dumps, entries)), encoding="utf-8")
    else:
        path.write_text(json.dumps(entries), encoding="utf-8")


@pytest.mark.parametrize("form", ["csv", "jsonl", "json"])
def test_tables_and_lists(folder, form):
    write(folder / f"questions.{form}", ENTRIES, form)
    for source in (folder, folder / f"questions.{form}"):
        assert task_for(str(source), None) is Question
        data = Question.open(source)
        assert data.items == {"train": 6, "val": 2, "test": 4}
        assert data.splits["train"].answers[:2] == (("red",), ("blue",))
    again = Question.reopen(data.origin)
    assert again.fingerprint == data.fingerprint
    others = [{**ENTRIES[0], "answer": "green"}, *ENTRIES[1:]]
    write(folder / f"questions.{form}", others, form)
    assert Question.open(folder).fingerprint != data.fingerprint


def test_a_list_in_python_with_several_annotators(folder, monkeypatch):
    monkeypatch.chdir(folder)
    entries = [
        {"image": "0.png", "question": "how many?", "answers": ["Two.", "2", "two"]},
        {"image": "0.png", "question": "what is it?", "answers": "a dog!"},
        *({"image": f"{n}.png", "question": "what?", "answer": "x"} for n in range(1, 6)),
    ]
    data = Question.open(entries, images="pictures")
    every = {
        q: a for split in data.splits.values() for q, a in zip(split.questions, split.answers, strict=True)
    }
    assert every["how many?"] == ("two", "2", "two")
    assert every["what is it?"] == ("a dog",)
    owner = {"how many?", "what is it?"}
    assert sum(owner <= {*split.questions} for split in data.splits.values()) == 1  # one picture, one split
    split = next(split for split in data.splits.values() if owner <= {*split.questions})
    assert {"0.png#0", "0.png#1"} <= {*split.names}


def vqa(folder, part, numbers, first):
    questions = [{"question_id": first + n, "image_id": n, "question": "is it red?"} for n in numbers]
    notes = [
        {
            "question_id": first + n,
            "image_id": n,
            "multiple_choice_answer": "yes",
            "answers": [{"answer": word, "answer_id": k} for k, word in enumerate(["yes"] * 7 + ["no"] * 3)],
        }
        for n in numbers
    ]
    kinds = {"questions": questions, "annotations": notes}
    for kind, entries in kinds.items():
        path = folder / f"v2_mscoco_{part}_{kind}.json"
        path.write_text(json.dumps({"data_subtype": part, kind: entries}), encoding="utf-8")
    pictures(folder / part, [f"COCO_{part}_{n:012d}.png" for n in numbers])


def test_the_files_of_vqa(tmp_path):
    vqa(tmp_path, "train2014", range(5), 100)
    vqa(tmp_path, "val2014", range(5, 8), 200)
    assert task_for(str(tmp_path), None) is Question
    data = Question.open(tmp_path)
    assert data.items["val"] == 3
    assert data.items["train"] + data.items["test"] == 5
    assert data.splits["train"].answers[0] == ("yes",) * 7 + ("no",) * 3
    (tmp_path / "v2_mscoco_train2014_annotations.json").unlink()
    (tmp_path / "v2_mscoco_val2014_annotations.json").unlink()
    with pytest.raises(DataError, match="--annotations"):
        Question.open(tmp_path)


def test_questions_without_pictures(folder):
    (folder / "pictures" / "3.png").unlink()
    write(folder / "questions.json", ENTRIES, "json")
    with pytest.raises(DataError, match=r"1 of 12 pictures are not found: 3\.png.*--images"):
        Question.open(folder)
    assert [found.severity for found in Question.check_source(folder)] == ["error"]
    many = [{**ENTRIES[0], "question": f"what is it, {n}?"} for n in range(3)]
    pictures(folder / "pictures", [f"more{n}.png" for n in range(100)])
    many += [{**ENTRIES[0], "image": f"more{n}.png"} for n in range(100)]
    write(folder / "questions.json", [*ENTRIES, *many], "json")
    data = Question.open(folder)
    assert data.items["train"] == 6 + 103 - 1
    assert "1 question is left out" in Question.warnings(data)[0].message


def test_what_the_check_finds(folder):
    entries = [
        *({"image": f"{n % 6}.png", "question": "is there water?", "answer": "no"} for n in range(12)),
        {"image": "6.png", "question": "is there water?", "answer": "no"},
        {"image": "7.png", "question": "what is it?", "answer": "a heron"},
    ]
    entries = [{**entry, "split": "train" if n < 12 else "test"} for n, entry in enumerate(entries)]
    write(folder / "questions.json", entries, "json")
    found = {finding.kind: finding for finding in Question.check(Question.open(folder))}
    assert found["unseen_answer"].items == ('7.png: "a heron"',)
    assert found["always_the_same_answer"].items == ('"is there water?": no (12 times)',)
    assert found["duplicate_question"].severity == "note"
    assert found["given_away"].severity == "warning"
    assert "right for 50.0 % of the test" in found["given_away"].message
    assert found["given_away"].items[0] == '"is there water?": 100 % of 1'


def test_folds_keep_the_questions_of_a_picture_together(folder):
    write(folder / "questions.json", [*ENTRIES, *ENTRIES[:6]], "json")
    data = Question.open(folder)
    folds = Question.folds(data, 3)
    for part in folds.parts:
        assert not {*part.splits["train"].pictures.names} & {*part.splits["test"].pictures.names}
        assert part.items["train"] + part.items["test"] == 16
    one = folds.parts[0].splits["test"]
    names = [one.pictures.names[number] for number in one.picture]
    expected = {entry["image"]: entry["answer"] for entry in ENTRIES}
    assert [answers[0] for answers in one.answers] == [expected[name.rpartition("/")[2]] for name in names]


def test_options_of_scenes_are_not_for_files(folder):
    write(folder / "questions.json", ENTRIES, "json")
    with pytest.raises(OptionError, match="digits: is an option of scenes"):
        Question.open(folder, digits=9)
    assert Question.open("scenes(train=7, val=0, test=3, digits=9, size=48)").items == {"train": 7, "test": 3}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes.", "yes"),
        ("3.5", "3.5"),
        ("1,000", "1000"),
        ("black/white", "black white"),
        ("no, thanks", "no thanks"),
        ("St. Bernard", "st bernard"),
        ("?", "?"),
        (" two  dogs ", "two dogs"),
    ],
)
def test_the_normal_form_of_answers(text, expected):
    assert normal_answer(text) == expected
