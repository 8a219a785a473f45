"""Several labels an image: from tables and Python datasets, through the commands, to a score a label."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from foveate.cli.__main__ import main
from foveate.data.batches import train_batches
from foveate.data.cache import cache
from foveate.data.checks.check import check
from foveate.data.label_sets import strata
from foveate.data.open import open_data, reopen
from foveate.errors import DataError, OptionError
from tests.compare.study_samples import brief_studies
from tests.data.image_samples import pixels

NAMES = ("effusion", "mass", "nodule")
TRUTHS = np.array([[n & 1, n >> 1 & 1, n >> 2 & 1] for n in range(40)])


def table(folder, rows, columns, name="data.csv"):
    with (folder / name).open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return folder / name


@pytest.fixture
def root(tmp_path):
    for number, truth in enumerate(TRUTHS):
        image = pixels(number, 32, 32) // 4
        for label, there in enumerate(truth):
            image[4:12, 2 + 10 * label : 10 + 10 * label] += np.uint8(150 * there)
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    return tmp_path


def cells(none="No Finding", separator="|"):
    return [
        (f"{n}.png", separator.join(name for name, there in zip(NAMES, truth, strict=True) if there) or none)
        for n, truth in enumerate(TRUTHS)
    ]


def truths(data):
    return {
        name: tuple(target)
        for split in data.splits.values()
        for name, target in zip(split.names, split.targets.tolist(), strict=True)
    }


def columns_of(truth=TRUTHS, change=None):
    rows = [[f"{n}.png", *map(str, row)] for n, row in enumerate(truth.tolist())]
    if change is not None:
        rows[3][1] = change
    return rows


EXPECTED = {f"{n}.png": tuple(truth) for n, truth in enumerate(TRUTHS.tolist())}


def test_cells_and_columns_say_the_same(root):
    one = open_data(table(root, cells(), ("path", "label")))
    two = open_data(table(root, columns_of(), ("path", *NAMES), "columns.csv"))
    for data in (one, two):
        assert data.classes == NAMES and data.truth == "labels" and truths(data) == EXPECTED
        assert "several an image" in repr(data)
    assert one.fingerprint == two.fingerprint
    assert truths(reopen(two.origin)) == EXPECTED
    assert any('"|" separates the labels' in note for note in one.origin["notes"])
    assert any('"No Finding" is not a class' in note for note in one.origin["notes"])


def test_the_separator_can_be_said_and_unsaid(root):
    data = open_data(table(root, cells(separator=" & "), ("path", "label")), separator="&")
    assert truths(data) == EXPECTED and truths(reopen(data.origin)) == EXPECTED
    whole = open_data(table(root, cells(), ("path", "label")), separator="")
    assert whole.truth == "label" and "effusion|mass" in whole.classes


def test_a_label_beside_no_finding_makes_it_a_class(root):
    rows = cells()
    rows[1] = ("1.png", "effusion|No Finding")
    assert "No Finding" in open_data(table(root, rows, ("path", "label"))).classes


def test_columns_can_be_chosen(root):
    rows = [[name, str(n * 1.5), *rest] for n, (name, *rest) in enumerate(columns_of())]
    path = table(root, rows, ("path", "age", *NAMES))
    with pytest.raises(DataError, match=r'age is "1\.5" in line 3.*--labels effusion,mass,nodule'):
        open_data(path)
    data = open_data(path, labels="mass, nodule")
    assert data.classes == ("mass", "nodule") and truths(data)["3.png"] == (1, 0)
    with pytest.raises(OptionError, match='no column "mas"\\. Nearest: mass'):
        open_data(path, labels=["mas"])


@pytest.mark.parametrize("cell", ["", "nan", "-1", "0.3", "yes"])
def test_a_truth_that_is_neither_is_named(root, cell):
    path = table(root, columns_of(change=cell), ("path", *NAMES))
    with pytest.raises(DataError, match=rf'"{cell}" in line 5|neither 0 nor 1 in line 5: "{cell}"'):
        open_data(path)
    with pytest.raises(DataError, match=rf'effusion is neither 0 nor 1 in line 5: "{cell}"'):
        open_data(path, labels=NAMES)


@pytest.mark.parametrize(
    "labels, said",
    [
        (("0.25", "1"), r"labels are fractions: 0\.25 \(line 2\), "),
        (("a", "NaN"), r"column label is NaN in line 3, "),
        (("1.0", "2.0"), None),
        (("1e3", "inf"), r"labels are fractions: inf \(line 3\)"),
    ],
)
def test_classes_are_whole_numbers_or_words(root, labels, said):
    path = table(root, [(f"{n}.png", labels[n % 2]) for n in range(40)], ("path", "label"))
    if said is None:
        assert open_data(path).classes == ("1", "2")
        return
    with pytest.raises(DataError, match=said):
        open_data(path)


class Items:
    def __init__(self, truth):
        self.truth = truth

    def __len__(self):
        return 40

    def __getitem__(self, item):
        return pixels(item), self.truth(item)


@pytest.mark.parametrize(
    "form",
    [
        np.array,
        torch.tensor,
        list,
        tuple,
        lambda row: np.array(row, np.float32),
        lambda row: torch.tensor(row, dtype=torch.bool),
    ],
)
def test_a_dataset_gives_vectors_of_any_kind(form):
    data = open_data(Items(lambda item: form(TRUTHS[item].tolist())))
    assert data.truth == "labels" and data.classes == ("0", "1", "2")
    assert truths(data) == {str(n): tuple(row) for n, row in enumerate(TRUTHS.tolist())}


def test_vectors_of_a_single_one_are_class_numbers():
    data = open_data(Items(lambda item: np.eye(3)[item % 3]))
    assert data.truth == "label" and data.classes == ("0", "1", "2")
    assert any("class numbers" in note for note in data.origin["notes"])


@pytest.mark.parametrize(
    "truth, said",
    [
        (lambda item: 0.3 + item, r"item 0: label 0\.3 is not a class number.*fractions"),
        (lambda item: float("nan"), "label nan is not a class number"),
        (lambda item: torch.tensor(float("nan")), "label nan"),
        (lambda item: None, "label None"),
        (lambda item: "cat", "label 'cat'"),
        (lambda item: {"label": 1}, "label {'label': 1}"),
        (lambda item: [0.5, 1], r"label 0\.5"),
        (lambda item: [0, 2], r"labels \[0, 2\]. Several labels are a vector of 0 and 1"),
        (lambda item: [float("nan"), 1], "label nan"),
        (lambda item: [0, 1] if item else [0, 1, 1], "items came with 2 labels, 3 labels"),
        (lambda item: [0, 1] if item else 1, "items came with one class number, 2 labels"),
        (lambda item: [], r"labels \[\]"),
        (lambda item: 10**400, "is not a class number"),
    ],
)
def test_a_truth_of_another_kind_is_told(truth, said):
    with pytest.raises(DataError, match=said):
        open_data(Items(truth))


def test_splits_of_different_vectors_are_told():
    with pytest.raises(DataError, match="differ in how many labels"):
        open_data({"train": Items(lambda item: [0, 1]), "test": Items(lambda item: [0, 1, 1])})


def test_a_cut_keeps_rare_labels_in_every_split():
    targets = np.zeros((100, 3), dtype=np.int64)
    targets[:, 0], targets[:20, 1], targets[:10, 2] = 1, 1, 1
    assert np.bincount(strata(targets)).tolist() == [80, 10, 10]
    assert strata(np.zeros((4, 2), np.int64)).tolist() == [2, 2, 2, 2]


def test_the_check_speaks_of_labels(root):
    changed = TRUTHS.copy()
    changed[:, 1] = 1
    found = {f.kind: f for f in check(open_data(table(root, columns_of(changed), ("path", *NAMES))))}
    assert found["constant_label"].items == ("mass",)
    assert not [f for f in found.values() if f.severity == "error"]


def test_batches_carry_all_labels(root, tmp_path):
    split = cache(open_data(table(root, cells(), ("path", "label"))), size=16, folder=tmp_path / "cache")[
        "train"
    ]
    batch = next(train_batches(split, batch_size=5, seed=0, epoch=0, augment="none"))
    assert batch.targets.shape == (5, 3) and batch.targets.dtype == torch.int64
    np.testing.assert_array_equal(batch.targets, split.targets[batch.indices])


@pytest.mark.slow
def test_a_diagnosis_is_trained_told_by_label_and_asked(root, capsys, monkeypatch):
    monkeypatch.chdir(root)
    table(root, columns_of(), ("path", *NAMES))
    assert main(["check", "data.csv"]) == 0
    words = ["--model", "resnet8(width=4)", "--epochs", "1", "--batch-size", "8"]
    assert main(["train", "data.csv", *words, "--out", "out"]) == 0
    told = capsys.readouterr().out
    assert "AUROC" in told and all(f"AUROC of {name}" in told for name in NAMES)
    assert main(["predict", "out", "7.png", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)[0]["classes"]) == set(NAMES)
    assert main(["train", "data.csv", *words, "--task", "classification", "--out", "no"]) == 2
    assert "several labels per image" in capsys.readouterr().err


@pytest.mark.slow
def test_a_study_of_a_diagnosis_ends_in_a_report(root, capsys, monkeypatch):
    monkeypatch.chdir(root)
    table(root, cells(), ("path", "label"))
    words = [
        "--model",
        "resnet8(width=4)",
        "--epochs",
        "1",
        "--batch-size",
        "8",
        "--seeds",
        "1",
        "--control",
        "none",
    ]
    command = ["compare", "data.csv", "--task", "diagnosis", "--try", "se@blocks", *words, "--out", "study"]
    with brief_studies():
        assert main(command) == 0
    capsys.readouterr()
    study = json.loads((root / "study/study.json").read_text())
    assert [row["class"] for row in study["variants"][0]["per_class"]] == list(NAMES)
    page = (root / "study/report.html").read_text()
    test = open_data(root / "data.csv").splits["test"]
    assert len(test) <= 12  # all of them are shown
    for target in test.targets:
        named = ", ".join(name for name, there in zip(NAMES, target, strict=True) if there)
        assert (named or "none") in page
