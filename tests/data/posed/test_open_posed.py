"""Pictures for generation are opened from folders, tables and built-in digits, or refused with a reason."""

import numpy as np
import pytest

import foveate as fv
from foveate.data.posed.open_posed import open_posed
from foveate.data.posed.posed_data import PoseColumn
from foveate.data.posed.posed_feed import conditions_of
from foveate.data.posed.turned_digits import NUMBERS, turned_digits
from foveate.tasks import tasks
from tests.data.posed.posed_samples import posed_rows, write_pictures, write_table

Generation = tasks["generation"]


def test_class_folders_are_classes(tmp_path):
    data = open_posed(write_pictures(tmp_path, [f"{c}/{n}.png" for c in ("cat", "dog") for n in range(10)]))
    assert data.classes == ("cat", "dog")
    assert data.columns == ()
    assert sum(data.items.values()) == 20


@pytest.mark.parametrize(
    "names",
    [
        [f"{n}.png" for n in range(20)],
        [f"faces/{n}.png" for n in range(20)],
        [f"{split}/{n}.png" for split in ("train", "test") for n in range(10)],
    ],
)
def test_pictures_without_classes_are_one_set(tmp_path, names):
    data = open_posed(write_pictures(tmp_path, names))
    assert data.classes == ()
    assert sum(data.items.values()) == 20
    assert (data.items["train"] == 10) == names[0].startswith("train")


def test_further_columns_of_a_table_are_the_pose(tmp_path):
    table = write_table(tmp_path, posed_rows())
    data = open_posed(table)
    assert data.classes == ("cat", "dog")
    assert [column.name for column in data.columns] == ["angle"]
    assert data.columns[0].angle
    for name, split in data.images.splits.items():
        numbers = [int(item[1:3]) for item in split.names]
        assert data.poses[name][:, 0].tolist() == [2 * n - 40 for n in numbers]
        assert split.targets.tolist() == [n % 2 for n in numbers]
    again = Generation.reopen(data.origin)
    assert again.fingerprint == data.fingerprint
    assert open_posed(table, pose_columns="none").columns == ()
    assert open_posed(table, pose_columns="none").fingerprint != data.fingerprint


def test_a_table_may_have_a_pose_and_no_classes(tmp_path):
    rows = [(f"{n}.png", n / 10, "train" if n < 20 else "test") for n in range(30)]
    data = open_posed(write_table(tmp_path, rows, ("path", "height", "split")))
    assert data.classes == ()
    assert data.items == {"train": 20, "test": 10}
    column = data.columns[0]
    assert (column.angle, column.low, column.high) == (False, 0.0, 1.9)
    assert Generation.reopen(data.origin).fingerprint == data.fingerprint


def test_the_digits_are_turned_and_no_digit_is_in_two_splits():
    data = turned_digits(copies=2, digits=200)
    shown = {
        name: {item.rpartition("-")[0] for item in split.names} for name, split in data.images.splits.items()
    }
    assert not shown["train"] & shown["test"]
    assert not shown["train"] & shown["val"]
    split, angles = data.images.splits["train"], data.poses["train"][:, 0]
    assert abs(angles).max() <= 45
    straight = turned_digits(angle=0, copies=1, digits=200)
    assert straight.columns == ()
    one = next(n for n in range(len(split)) if split.targets[n] == 1 and angles[n] > 25)
    y, x = np.nonzero(split.load(one)[..., 0] > 128)
    assert np.polyfit(y, x, 1)[0] > 0  # anticlockwise: its top leans to the left, and x grows downwards
    assert (split.many(3, 2)[1] == split.load(4)).all()
    assert Generation.reopen(data.origin).fingerprint == data.fingerprint
    assert Generation.opens("turned_digits(size=16)")
    assert not Generation.opens("turned_digits")


def test_poses_as_numbers_of_a_model_and_back():
    angle, height = PoseColumn("angle", True, -180, 180), PoseColumn("height", False, 2.0, 6.0)
    for column, values in ((angle, np.array([-170.0, 0, 90])), (height, np.array([2.0, 3, 6]))):
        assert column.decoded(column.encoded(values)) == pytest.approx(values)
    assert height.encoded(np.array([2.0, 4, 6]))[:, 0].tolist() == [-1, 0, 1]
    assert angle.apart(np.array([-179.0, 10]), np.array([179.0, 30])).tolist() == [2, 20]
    both = conditions_of(np.array([0]), np.array([[90.0, 4.0]]), 2, [angle, height])
    assert both.round(6).tolist() == [[1, 0, 1, 0, 0]]


@pytest.mark.parametrize(
    ("rows", "columns", "said"),
    [
        (
            [("a.png", "x", "far")],
            ("path", "label", "angle"),
            'column angle is not a pose: .* in line 2: "far"',
        ),
        ([("a.png", "x", "nan")], ("path", "label", "angle"), "column angle is not a pose"),
        (
            [("a.png", 3.0), ("b.png", 3.0), ("c.png", 3.0)],
            ("path", "height"),
            "height is 3 in every training",
        ),
        ([("", 3.0)], ("path", "height"), "no such file"),
        ([("a.png", 3.0, "best")], ("path", "height", "split"), 'split "best" is unknown'),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, rows, columns, said):
    write_pictures(tmp_path, [row[0] for row in rows if row[0]])
    lines = [",".join(map(str, row)) for row in (columns, *rows)]
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(fv.FoveateError, match=said):
        open_posed(tmp_path / "table.csv")


def test_what_is_no_data_for_generation_is_refused(tmp_path):
    with pytest.raises(fv.FoveateError, match="no pictures are in it"):
        open_posed(tmp_path)
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(fv.FoveateError, match="no pictures are in it"):
        Generation.open(tmp_path)
    with pytest.raises(fv.FoveateError, match="no such file"):
        open_posed(tmp_path / "gone")
    with pytest.raises(fv.FoveateError, match="has masks, but generation needs"):
        open_posed("scenes(train=8, val=0, test=4, masks=True)")
    with pytest.raises(fv.FoveateError, match="poses come from a table"):
        open_posed(tmp_path, pose_columns="angle")
    with pytest.raises(fv.FoveateError, match=r'has no column "angel"\. Nearest: angle'):
        open_posed(write_table(tmp_path, posed_rows(4)), pose_columns="angel")
    with pytest.raises(fv.FoveateError, match="digits: got 50"):
        open_posed("turned_digits(digits=50)")
    with pytest.raises(fv.FoveateError, match="are for files"):
        open_posed("turned_digits()", pose_columns="angle")


def test_check_finds_classes_with_few_pictures_and_gaps_in_poses(tmp_path):
    rows = [row for row in posed_rows() if not -10 < row[2] < 12]
    findings = Generation.check(open_posed(write_table(tmp_path, rows)))
    kinds = {finding.kind: finding for finding in findings}
    assert {"few_pictures", "pose_gap"} <= set(kinds)
    assert {item.split(":")[0] for item in kinds["pose_gap"].items} == {"cat", "dog"}
    (tmp_path / "p00.png").write_bytes(b"no picture")
    broken = Generation.check(open_posed(tmp_path / "table.csv"))
    assert broken[0].severity == "error"


def test_data_comes_in_folds():
    data = turned_digits(copies=1, digits=120)
    folds = data.folds(3)
    assert sum(len(part.poses["test"]) for part in folds.parts) == len(folds.whole.poses["test"])
    part, rows = folds.parts[1], folds.items[1]
    assert (part.poses["test"] == folds.whole.poses["test"][rows]).all()


def test_captions_come_from_a_column_of_their_own(tmp_path):
    rows = [(*row, f"a {row[1]} turned by {row[2]}") for row in posed_rows(40)]
    table = write_table(tmp_path / "a", rows, ("path", "label", "angle", "caption"))
    data = open_posed(table)
    assert [column.name for column in data.columns] == ["angle"]
    spoken = {row[0]: row[3] for row in rows}
    for name, split in data.images.splits.items():
        assert list(data.captions[name]) == [spoken[item] for item in split.names]
    assert open_posed(table).fingerprint == data.fingerprint
    said = [(*row[:3], f"{row[3]}!") for row in rows]
    other = open_posed(write_table(tmp_path / "b", said, ("path", "label", "angle", "caption")))
    assert other.fingerprint != data.fingerprint
    for part in data.folds(2).parts:
        for name in ("train", "test"):
            assert list(part.captions[name]) == [spoken[item] for item in part.images.splits[name].names]
    rows[3] = (*rows[3][:3], " ")
    with pytest.raises(fv.FoveateError, match=r"p03\.png has no caption"):
        open_posed(write_table(tmp_path / "c", rows, ("path", "label", "angle", "caption")))


def test_captions_of_digits_say_digit_and_angle():
    data = turned_digits(size=8, copies=2, digits=120, captions=True)
    leans = {
        "leaning far to the left": (27, 45),
        "standing upright": (-9, 9),
        "leaning to the right": (-27, -9),
    }
    for text, angle, label in zip(
        data.captions["train"], data.poses["train"][:, 0], data.images.splits["train"].targets, strict=True
    ):
        _, number, lean = text.split(" ", 2)
        assert NUMBERS[label] == number
        if lean in leans:
            assert leans[lean][0] - 1e-9 <= angle <= leans[lean][1] + 1e-9
