import csv
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foveate.data.open import open_data
from foveate.errors import DataError, FoveateError
from tests.data.image_samples import save


def write(folder, rows, columns, name="data.csv", delimiter=","):
    for number, row in enumerate(rows):
        if row[0]:
            save(folder / row[0], number)
    with (folder / name).open("w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(columns)
        writer.writerows(rows)
    return folder / name


SPLIT = [(f"{n}.png", "ab"[n % 2], "train" if n < 6 else "test") for n in range(10)]
GROUPED = [(f"{n}.png", "ab"[n // 2 % 2], f"p{n // 4}") for n in range(80)]


def test_a_split_column_is_followed(tmp_path):
    data = open_data(write(tmp_path, SPLIT, ("path", "label", "split")))
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 6, "test": 4}
    assert data.classes == ("a", "b") and data.splits["train"].names[1] == "1.png"
    assert data.splits["train"].load(0).shape == (24, 32, 3)


def test_tabs_and_a_byte_order_mark(tmp_path):
    path = write(tmp_path, SPLIT, ("path", "label", "split"), "data.tsv", "\t")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(open_data(path).splits["train"]) == 6


def test_parquet_gives_the_same_data_as_csv(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    text = open_data(write(tmp_path, SPLIT, ("path", "label", "split")))
    paths, labels, splits = zip(*SPLIT, strict=True)
    table = pyarrow.table({"path": paths, "label": labels, "split": splits})
    parquet.write_table(table, tmp_path / "data.parquet")
    assert open_data(tmp_path / "data.parquet").fingerprint == text.fingerprint


def test_numbers_as_labels_are_ordered_as_numbers(tmp_path):
    rows = [(f"{n}.png", str(n % 12), "train" if n < 24 else "test") for n in range(36)]
    assert open_data(write(tmp_path, rows, ("path", "label", "split"))).classes == tuple(map(str, range(12)))


@pytest.mark.parametrize(
    "labels, classes",
    [
        (("1_1", "11"), ("11", "1_1")),
        (("+1", "1", "2"), ("1", "2")),
        (("1.0", "1", "2.", "1e1"), ("1", "2", "10")),
        (("-1.0", "+3"), ("-1", "3")),
        (("007", "7"), ("007", "7")),
        (("\u0661", "1"), ("1", "\u0661")),
    ],
)
def test_labels_are_one_class_only_if_they_are_one_number(tmp_path, labels, classes):
    rows = [(f"{n}.png", labels[n % len(labels)], "train" if n < 8 else "test") for n in range(16)]
    assert open_data(write(tmp_path, rows, ("path", "label", "split"))).classes == classes


def test_without_a_split_column_groups_stay_whole(tmp_path):
    data = open_data(write(tmp_path, GROUPED, ("path", "label", "group")), seed=3)
    assert set(data.splits) == {"train", "val", "test"}
    groups = [set(split.groups) for split in data.splits.values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 20


def test_a_torn_group_is_named(tmp_path):
    rows = [(name, label, split, f"p{n // 4}") for n, (name, label, split) in enumerate(SPLIT)]
    with pytest.raises(DataError, match=r"p1 \(test, train\)"):
        open_data(write(tmp_path, rows, ("path", "label", "split", "group")))


@pytest.mark.parametrize(
    "rows, columns, said",
    [
        ([], ("path", "label"), "no rows"),
        ([("1.png", "a")], ("path", "lable"), "no column label. Nearest: lable"),
        ([("1.png", "a"), ("2.png", "")], ("path", "label"), "column label is empty in line 3"),
        (
            [("1.png", "a", "train"), ("2.png", "a", "holdout")],
            ("path", "label", "split"),
            'line 3: split "holdout"',
        ),
        ([("1.png", "", "x\ny")], ("path", "label", "note"), "column label is empty in line 2"),
        ([("1.png", "1"), ("2.png", "+inf")], ("path", "label"), r"fractions: \+inf \(line 3\)"),
        ([("1.png", "a"), ("2.png", "a"), ("1.png", "b")], ("path", "label"), r"1.png \(lines 2, 4\)"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path, rows, columns, said):
    with pytest.raises(DataError, match=said):
        open_data(write(tmp_path, rows, columns))


def test_missing_files_are_named(tmp_path):
    path = write(tmp_path, SPLIT, ("path", "label", "split"))
    (tmp_path / "4.png").unlink()
    with pytest.raises(DataError, match=r"no such file: 4\.png"):
        open_data(path)


def test_a_file_that_is_not_a_table_is_refused(tmp_path):
    (tmp_path / "data.csv").write_bytes(b"\x00\x01\xff")
    with pytest.raises(DataError, match="UTF-8"):
        open_data(tmp_path / "data.csv")
    pytest.importorskip("pyarrow")
    (tmp_path / "data.parquet").write_bytes(b"nothing")
    with pytest.raises(DataError, match="Parquet"):
        open_data(tmp_path / "data.parquet")


def plain_rows(folder, count=10):
    """Pictures 0.png to 9.png of classes a and b; the rows of their table."""
    return [save(folder / f"{n}.png", n) and (f"{n}.png", "ab"[n % 2]) for n in range(count)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize(
    ("encoding", "head"),
    [*((code, head) for code in ("utf-8", "utf-8-sig", "cp1252") for head in ("", "sep")), ("utf-16", "")],
)
def test_tables_of_any_spreadsheet_say_the_same(tmp_path, delimiter, encoding, head):
    lines = [
        ("Path", "LABEL"),
        *((name, "für" if label == "a" else label) for name, label in plain_rows(tmp_path)),
    ]
    text = "\r\n".join(delimiter.join(line) for line in lines)
    text = f"sep={delimiter}\r\n{text}" if head else text
    (tmp_path / "data.csv").write_bytes(text.encode(encoding))
    data = open_data(tmp_path / "data.csv")
    assert data.classes == ("b", "für") and sum(map(len, data.splits.values())) == 10
    assert bool(data.origin["notes"]) == (encoding == "cp1252")


def test_slashes_of_windows_and_names_in_old_bytes_are_found(tmp_path):
    rows = [("sub\\" + name, label) for name, label in plain_rows(tmp_path / "sub")]
    (tmp_path / "sub" / "3.png").rename(tmp_path / os.fsdecode(b"caf\xe9.png"))
    rows[3] = ("café.png", "b")
    text = "\n".join(",".join(row) for row in [("path", "label"), *rows])
    (tmp_path / "data.csv").write_bytes(text.encode("cp1252"))
    names = [name for split in open_data(tmp_path / "data.csv").splits.values() for name in split.names]
    assert sorted(names) == sorted(["café.png", *(f"sub/{n}.png" for n in range(10) if n != 3)])


@pytest.mark.parametrize(
    "text, said",
    [
        ("path,label\n0.png,a,b\n", "line 2: 3 cells for 2 columns"),
        ("path,label,label\n0.png,a,b\n", "two columns are called label"),
        ("Path,path,label\n0.png,1.png,b\n", "differ in capitals alone"),
        ("path,label\n\n0.png,a\n\n1.png,\n", "column label is empty in line 5"),
        ('path,label\n"0.png,a\n', "column label is empty|unexpected end|quote"),
        ("label\na\n", "has no column path"),
        ("path,label\n../\udce9.png,a\n", "no such file"),
    ],
)
def test_a_table_that_is_not_whole_is_told(tmp_path, text, said):
    plain_rows(tmp_path)
    (tmp_path / "data.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=said):
        open_data(tmp_path / "data.csv")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    columns=st.lists(
        st.sampled_from(["path", "label", "mask", "split", "group", "a", ""]), min_size=1, max_size=4
    ),
    cells=st.lists(
        st.sampled_from(
            ["0.png", "1.png", "a", "a|b", "1", "0", "0.5", "nan", "", "train", "test", '"', "\0", ".", "é"]
        ),
        max_size=24,
    ),
    encoding=st.sampled_from(["utf-8", "cp1252", "utf-16"]),
    tail=st.binary(max_size=6),
)
def test_any_table_opens_or_is_refused_with_a_clear_error(tmp_path, columns, cells, encoding, tail):
    if not (tmp_path / "0.png").exists():
        plain_rows(tmp_path, 2)
    width = len(columns)
    rows = [cells[first : first + width] for first in range(0, len(cells), width)]
    text = "\n".join(";".join(row) for row in [columns, *rows])
    (tmp_path / "data.csv").write_bytes(text.encode(encoding) + tail)
    try:
        open_data(tmp_path / "data.csv")
    except FoveateError as error:
        str(error).encode()
