"""Sentences in two languages are read from every layout that docs/words-data.md names."""

import json
import os

import pytest

from foveate.data.captions.looks_like_captions import looks_like_captions
from foveate.data.pairs.looks_like_pairs import looks_like_pairs
from foveate.data.pairs.open_pairs import open_pairs
from foveate.errors import DataError, OptionError
from tests.data.pairs.pair_samples import listed, pairs, write, write_parts


@pytest.mark.parametrize("ending", ["", ".gz", ".txt", ".txt.gz"])
def test_folder_of_parts(tmp_path, ending):
    parts = write_parts(tmp_path, ending)
    (tmp_path / "README.md").write_text("about")
    data = open_pairs(tmp_path, source="en", target="de")
    assert {name: listed(split) for name, split in data.splits.items()} == {
        "train": parts["train"],
        "val": parts["val"],
        "test": parts["test_2016_flickr"],
    }
    assert (data.task, data.items) == ("translation", {"train": 60, "val": 12, "test": 10})
    assert (data.source_language, data.target_language) == ("en", "de")
    assert data.origin["notes"] == ["test is test_2016_flickr"]
    assert list(data.splits["test"].names[:2]) == ["test:1", "test:2"]


def test_the_other_direction_and_one_language_given(tmp_path):
    parts = write_parts(tmp_path)
    data = open_pairs(tmp_path, source="de")
    assert listed(data.splits["val"]) == [(german, english) for english, german in parts["val"]]
    assert open_pairs(tmp_path, target="en").fingerprint == data.fingerprint


def test_equal_sentences_have_equal_fingerprints_however_they_are_stored(tmp_path):
    parts = write_parts(tmp_path / "a")
    write_parts(tmp_path / "b", ".gz")
    given = {"source": "en", "target": "de"}
    first, second = open_pairs(tmp_path / "a", **given), open_pairs(tmp_path / "b", **given)
    assert first.fingerprint == second.fingerprint != open_pairs(tmp_path / "a", source="de").fingerprint
    write(tmp_path / "a" / "val.de", [german for _, german in parts["val"][:-1]] + ["anders"])
    assert first.fingerprint != open_pairs(tmp_path / "a", **given).fingerprint


def test_folder_per_split(tmp_path):
    some = pairs(20)
    for split in ("training", "test"):
        write(tmp_path / split / "news.en", [english for english, _ in some])
        write(tmp_path / split / "news.de", [german for _, german in some])
    data = open_pairs(tmp_path, source="en", target="de")
    assert data.items == {"train": 20, "test": 20} and listed(data.splits["train"]) == some
    for split in ("train", "test"):
        write(tmp_path / "other" / split / "en.txt", [english for english, _ in some])
        write(tmp_path / "other" / split / "de.txt", [german for _, german in some])
    assert listed(open_pairs(tmp_path / "other", source="en", target="de").splits["test"]) == some


def test_two_files(tmp_path):
    some = pairs(50)
    write(tmp_path / "corpus.en", [english for english, _ in some])
    write(tmp_path / "corpus.de.gz", [german for _, german in some])
    paths = (tmp_path / "corpus.en", tmp_path / "corpus.de.gz")
    data = open_pairs(paths)
    assert sorted(pair for split in data.splits.values() for pair in listed(split)) == sorted(some)
    assert (data.name, data.source_language, data.target_language) == ("corpus", "en", "de")
    for target in ("de", "corpus.de.gz", str(paths[1])):
        assert open_pairs(paths[0], target=target).fingerprint == data.fingerprint


def table(path, rows):
    path.write_text("".join(row + "\n" for row in rows), encoding="utf-8")
    return path


def test_tables_of_all_kinds_hold_the_same(tmp_path):
    some = [*pairs(40), ('He said: "no, thanks".', "Er sagte: „nein“, danke.")]
    quoted = [(a.replace('"', '""'), b) for a, b in some]
    headed = [
        table(tmp_path / "a.tsv", ["source\ttarget", *(f"{a}\t{b}" for a, b in some)]),
        table(tmp_path / "b.csv", ["src,tgt", *(f'"{a}","{b}"' for a, b in quoted)]),
        table(tmp_path / "c.csv", ["id;src;trg", *(f'1;"{a}";"{b}"' for a, b in quoted)]),
        table(
            tmp_path / "d.jsonl",
            [json.dumps({"target": b, "source": a, "meta": {}, "id": n}) for n, (a, b) in enumerate(some)],
        ),
    ]
    coded = [
        table(tmp_path / "e.tsv", ["de\ten", *(f"{b}\t{a}" for a, b in some)]),
        table(tmp_path / "f.jsonl", [json.dumps({"translation": {"de": b, "en": a}}) for a, b in some]),
    ]
    bare = table(tmp_path / "g.tsv", [f"{a}\t{b}\tCC-BY" for a, b in some])
    text = table(tmp_path / "deu.txt", [f"{a}\t{b}" for a, b in some])
    found = [open_pairs(path) for path in (*headed, bare, text)]
    found += [open_pairs(path, source="en", target="de") for path in coded]
    for data in found:
        assert sorted(pair for split in data.splits.values() for pair in listed(split)) == sorted(some)
    assert len({data.fingerprint for data in found}) == 1


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    some = pairs(30)
    columns = {"src": [a for a, _ in some], "tgt": [b for _, b in some]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    data = open_pairs(tmp_path / "a.parquet")
    assert sorted(pair for split in data.splits.values() for pair in listed(split)) == sorted(some)


def test_a_column_split_and_tables_per_split(tmp_path):
    some = pairs(12)
    splits = ["train"] * 8 + ["val"] * 2 + ["test"] * 2
    rows = [f"{s},{a},{b}" for s, (a, b) in zip(splits, some, strict=True)]
    data = open_pairs(table(tmp_path / "a.csv", ["split,source,target", *rows]))
    assert listed(data.splits["val"]) == some[8:10] and data.splits["val"].names[0] == "val:10"
    folder = tmp_path / "tables"
    folder.mkdir()
    table(folder / "train.tsv", [f"{a}\t{b}" for a, b in some[:8]])
    table(folder / "dev.jsonl", [json.dumps({"source": a, "target": b}) for a, b in some[8:10]])
    table(folder / "test.csv", ["source,target", *(f"{a},{b}" for a, b in some[10:])])
    again = open_pairs(folder)
    assert {name: listed(split) for name, split in again.splits.items()} == {
        name: listed(split) for name, split in data.splits.items()
    }


def test_a_drawn_test_split_follows_from_seed_and_sentences_and_tears_no_copies_apart(tmp_path):
    some = pairs(60, longest=5)
    some += [(a, b + " " + b) for a, b in some]  # every sentence twice, with two translations
    path = table(tmp_path / "a.tsv", [f"{a}\t{b}" for a, b in some])
    data = open_pairs(path)
    sources = {name: set(split.source) for name, split in data.splits.items()}
    assert set(sources) == {"train", "val", "test"}
    assert not sources["train"] & sources["test"] and not sources["train"] & sources["val"]
    assert sum(data.items.values()) == len(some) and "drawn by seed 0" in data.origin["notes"][0]
    assert open_pairs(path).fingerprint == data.fingerprint != open_pairs(path, seed=1).fingerprint
    line = int(data.splits["test"].names[0].partition(":")[2])
    assert listed(data.splits["test"])[0] == some[line - 1]


def test_without_a_test_set_one_is_drawn_from_train_and_val_stays(tmp_path):
    parts = write_parts(tmp_path, names=("train", "val"), counts=(90, 10))
    data = open_pairs(tmp_path, source="en", target="de", shares=(0.8, 0.0, 0.2))
    assert listed(data.splits["val"]) == parts["val"]
    drawn = listed(data.splits["train"]) + listed(data.splits["test"])
    assert sorted(drawn) == sorted(parts["train"]) and 10 < data.items["test"] < 30


def test_data_opens_again_from_its_origin(tmp_path, monkeypatch):
    write_parts(tmp_path / "a", names=("train", "test_a", "test_b"), counts=(60, 12, 10))
    table(tmp_path / "b.tsv", [f"{a}\t{b}" for a, b in pairs(40)])
    opened = [
        open_pairs(tmp_path / "a", source="de", target="en", test="test_b", longest=5),
        open_pairs(tmp_path / "b.tsv", seed=3, shares=(0.5, 0.0, 0.5)),
        open_pairs((tmp_path / "a" / "train.en", tmp_path / "a" / "train.de")),
        open_pairs(tmp_path / "a" / "train.en", target="de"),
    ]
    monkeypatch.chdir(tmp_path)
    opened.append(open_pairs("a/train.en", target="a/train.de"))
    monkeypatch.chdir(tmp_path / "a")
    for data in opened:
        origin = json.loads(json.dumps(data.origin))
        again = open_pairs(origin["source"], **origin["options"])
        assert again.fingerprint == data.fingerprint and again.origin == data.origin


def test_long_and_empty_pairs_are_left_out_of_train_alone_and_counted(tmp_path):
    long = "word " * 10_000
    for split in ("train", "test"):
        write(tmp_path / f"{split}.en", ["a b", long, "", "c d", "e f"])
        write(tmp_path / f"{split}.de", ["a b", "kurz", "leer", " \t", "e f"])
    data = open_pairs(tmp_path, source="en", target="de")
    assert listed(data.splits["train"]) == [("a b", "a b"), ("e f", "e f")]
    assert list(data.splits["train"].names) == ["train:1", "train:5"]
    assert len(data.splits["test"]) == 5 and data.splits["test"].source[1] == long
    empty, too_long = data.origin["warnings"]
    assert empty == "2 training pairs with an empty side are left out: lines 3, 4."
    assert too_long.startswith("1 training pair of more than 100 words is left out: line 2.")
    assert len(open_pairs(tmp_path, source="en", target="de", longest=None).splits["train"]) == 3
    assert "training pairs of up to 100 words" in data.facts()


def test_text_without_spaces_counts_as_words_too(tmp_path):
    for split in ("train", "test"):
        write(tmp_path / f"{split}.zh", ["文" * 50, "文" * 5000])
        write(tmp_path / f"{split}.de", ["gut", "schlecht"])
    assert len(open_pairs(tmp_path, source="zh", target="de").splits["train"]) == 1


def test_files_of_different_lengths_are_refused_with_both_counts_and_the_place(tmp_path):
    parts = write_parts(tmp_path, names=("train", "test"), counts=(200, 10))
    german = [german for _, german in parts["train"]]
    write(tmp_path / "train.de", german[:120] + german[121:])
    with pytest.raises(DataError) as caught:
        open_pairs(tmp_path, source="en", target="de")
    text = str(caught.value)
    assert "train.en has 200 lines" in text and "train.de has 199" in text
    line = int(text.partition("up to about line ")[2].partition(".")[0])
    assert abs(line - 120) <= 5


@pytest.mark.parametrize(
    ("files", "options", "error", "says"),
    [
        ({}, {}, DataError, "no sentences in two languages"),
        (
            {"train.en": 5, "train.de": 5, "test.en": 5, "test.de": 5},
            {},
            OptionError,
            "--source de --target en",
        ),
        (
            {"train.en": 5, "train.de": 5, "train.fr": 5},
            {"source": "en"},
            OptionError,
            "which language is translated",
        ),
        (
            {"train.en": 5, "train.de": 5},
            {"source": "it"},
            OptionError,
            "expected one of the languages: de, en",
        ),
        ({"train.en": 5, "train.de": 5}, {"source": "en", "target": "en"}, OptionError, "which language"),
        (
            {f"{part}.{code}": 5 for part in ("train", "test_a", "test_b") for code in ("en", "de")},
            {"source": "en"},
            OptionError,
            "several parts could be the split test: test_a, test_b. Say which: --test test_a",
        ),
        (
            {f"{part}.{code}": 5 for part in ("one", "two") for code in ("en", "de")},
            {"source": "en"},
            DataError,
            "no part is named as the training set",
        ),
        (
            {"train.en": 5, "train.de": 5},
            {"source": "en", "test": "tset"},
            OptionError,
            "no part 'tset'",
        ),
        ({"train.en": 1, "train.de": 1}, {"source": "en"}, DataError, "leave none for"),
        ({"train.en": 9, "train.de": 9}, {"source": "en", "longest": 0}, OptionError, "longest"),
    ],
)
def test_folders_that_cannot_be_opened(tmp_path, files, options, error, says):
    for name, count in files.items():
        write(tmp_path / name, [f"{name} {number} x" for number in range(count)])
    with pytest.raises(error, match=says):
        open_pairs(tmp_path, **options)


@pytest.mark.parametrize(
    ("name", "rows", "says"),
    [
        ("a.tsv", [], "is empty"),
        ("a.tsv", ["no tab here"], "line 1: has no tab"),
        ("a.tsv", ["source\ttarget", "a\tb", "c"], "line 3: 1 columns"),
        ("a.csv", ["source,target,split", "a,b,tain"], 'line 2: split "tain" is unknown'),
        ("a.csv", ["source,target", '"a,b'], "line 2: 1 columns"),
        ("a.jsonl", ['{"source": "a"'], "line 1: is not JSON"),
        ("a.jsonl", ['{"source": "a", "target": "b"}', '{"source": "a"}'], 'line 2: "target" is missing'),
        ("a.jsonl", ["[1, 2]"], "line 1: is not an object"),
        ("a.en", ["a", "b"], "where are the translations"),
        ("a.parquet", ["text"], "cannot be read as Parquet"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path, name, rows, says):
    with pytest.raises(DataError, match=says):
        open_pairs(table(tmp_path / name, rows))


def test_columns_that_cannot_be_told_apart(tmp_path):
    path = table(tmp_path / "a.csv", ["en,de,id", "a,b,1"])
    with pytest.raises(OptionError, match="Found the columns en, de"):
        open_pairs(path)
    with pytest.raises(DataError, match="no such file or folder"):
        open_pairs(tmp_path / "nothing")


def test_pairs_are_recognised_by_names_and_columns(tmp_path):
    write_parts(tmp_path / "parts", ".gz")
    write(tmp_path / "split" / "train" / "en.txt", ["a"])
    write(tmp_path / "split" / "train" / "de.txt", ["a"])
    (tmp_path / "tables").mkdir()
    known = [
        tmp_path / "parts",
        str(tmp_path / "split"),
        table(tmp_path / "a.tsv", ["source\ttarget", "a\tb"]),
        table(tmp_path / "b.csv", ['"id";"src";"tgt"', "1;a;b"]),
        table(tmp_path / "c.jsonl", [json.dumps({"translation": {"en": "a", "de": "b"}})]),
        table(tmp_path / "tables" / "train.tsv", ["source\ttarget", "a\tb"]).parent,
    ]
    assert [path for path in known if not looks_like_pairs(path)] == []


def test_other_sources_are_not_taken_for_pairs(tmp_path):
    for name in ("code.py", "code.md", "train/cat/1.jpg", "train/dog/1.jpg", "train.csv", "test.csv"):
        write(tmp_path / name, ["path,label"])
    for name in ("lists/train/cat.txt", "lists/train/dog.txt", "code/train.py", "code/train.md"):
        write(tmp_path / name, ["1.jpg"])
    write(tmp_path / "a.jsonl", ['{"file": "a.jpg"}'])
    write(tmp_path / "b.jsonl", ["{"])
    others = [
        tmp_path,
        tmp_path / "a.jsonl",
        tmp_path / "b.jsonl",
        tmp_path / "train.csv",
        tmp_path / "train",
    ]
    others += [tmp_path / "nothing", "scenes", "scenes(size=32)", "", None, 7, "x" * 10_000, "a\0b"]
    assert [source for source in others if looks_like_pairs(source)] == []


def test_pairs_in_python(tmp_path):
    some = pairs(40)
    data = open_pairs(some, source="en", target="de")
    assert sorted(pair for split in data.splits.values() for pair in listed(split)) == sorted(some)
    assert data.origin["source"] is None and data.source_language == "en"
    table(tmp_path / "a.tsv", [f"{a}\t{b}" for a, b in some])
    assert open_pairs(tmp_path / "a.tsv").fingerprint == data.fingerprint
    data = open_pairs({"training": iter(some[:30]), "dev": some[30:35], "test": some[35:]})
    assert {name: listed(split) for name, split in data.splits.items()} == {
        "train": some[:30],
        "val": some[30:35],
        "test": some[35:],
    }


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([("a", "b"), ("c",)], r"item 1 is \('c',\), expected a sentence and its translation"),
        ([("a", 7)], "two texts"),
        ({"train": [("a", "b")], "holdout set": []}, "is not a split"),
        ([], "leave none for|no pair"),
        (["a.en", "b.de"], "no such file"),
    ],
)
def test_python_that_is_no_pairs_is_refused(given, says):
    with pytest.raises(DataError, match=says):
        open_pairs(given)


def test_a_pipe_is_not_waited_for(tmp_path):
    write_parts(tmp_path)
    os.mkfifo(tmp_path / "extra.tsv")
    os.mkfifo(tmp_path / "train.txt")
    assert looks_like_pairs(tmp_path) and not looks_like_captions(tmp_path)
    assert open_pairs(tmp_path, source="en", target="de").items["train"] == 60
    with pytest.raises(DataError, match="not a file"):
        open_pairs(tmp_path / "extra.tsv")
