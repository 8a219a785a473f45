"""Each fault of sentences is found where it is planted, and nothing is found in sound ones."""

import random

import pytest

from foveate.data.pairs.check_sentences import check_sentences
from foveate.data.pairs.open_pairs import open_pairs
from tests.data.pairs.pair_samples import pairs, write

SOUND = [(f"{english} {number}", f"{german} {number}") for number, (english, german) in enumerate(pairs(240))]


def findings(folder, changed=(), *, split="train", names=("en", "de"), end="\n", **options):
    """Return the findings by kind, with some lines of a split replaced: (number, source, target)."""
    rows = {"train": SOUND[:200], "val": SOUND[200:220], "test": SOUND[220:]}
    rows = {name: list(some) for name, some in rows.items()}
    for number, *pair in changed:
        rows[split][number] = tuple(pair)
    for name, some in rows.items():
        for place, language in enumerate(names):
            write(folder / f"{name}.{language}", [pair[place] for pair in some], end)
    data = open_pairs(folder, **{"source": names[0], "target": names[1], **options})
    return {finding.kind: finding for finding in check_sentences(data)}


def test_sound_sentences_have_no_findings(tmp_path):
    assert findings(tmp_path) == {}


SOURCE, TARGET = SOUND[3]
LONG = " ".join(["the dog runs"] * 40)


@pytest.mark.parametrize(
    ("kind", "severity", "split", "pair", "item"),
    [
        ("opened", "warning", "train", ("", TARGET), None),
        ("opened", "warning", "train", (LONG, LONG), None),
        ("empty_line", "warning", "test", (SOURCE, " "), "test:6"),
        ("long_line", "note", "test", (LONG, " ".join(["der Hund läuft"] * 40)), "test:6"),
        ("odd_ratio", "warning", "val", (SOURCE, " ".join(["der Hund läuft"] * 20)), "val:6"),
        ("odd_ratio", "warning", "train", ("@", " ".join(["der Hund läuft"] * 5)), "train:6"),
        ("untranslated", "warning", "val", ("a dog runs home 7", "A dog runs home 7"), "val:6"),
        ("untranslated", "warning", "train", ("we saw a big red dog", "we saw a big rot dog"), "train:6"),
        ("replacement_character", "warning", "train", (SOURCE, "M\ufffdnner 7"), "train:6 (target)"),
        ("mojibake", "warning", "train", (SOURCE, "junge MÃ¤nner 7"), "train:6 (target)"),
        ("mojibake", "warning", "train", (SOURCE, "le goÃ»t"), "train:6 (target)"),
        ("mojibake", "warning", "test", ("the manâ€™s dog 7", TARGET), "test:6 (source)"),
        ("control_character", "warning", "val", ("a dog\u200b runs 7", TARGET), "val:6 (source)"),
        ("control_character", "warning", "val", (SOURCE, "ein\x0b Hund 7"), "val:6 (target)"),
        ("duplicate_across_splits", "warning", "test", SOUND[10], "train:11 = test:6"),
        ("duplicate_within_split", "note", "train", SOUND[10], "train:6 = train:11"),
        ("several_translations", "note", "train", (SOUND[10][0], "etwas anderes 7"), "train:6 = train:11"),
    ],
)
def test_a_planted_fault_is_found_and_named(tmp_path, kind, severity, split, pair, item):
    found = findings(tmp_path, [(5, *pair)], split=split)
    assert found[kind].severity == severity
    assert found[kind].items == (() if item is None else (item,))


def test_nothing_else_is_found_with_a_fault(tmp_path):
    source, target = SOUND[5]
    assert set(findings(tmp_path, [(5, source, target + "\ufffd")])) == {"replacement_character"}
    assert set(findings(tmp_path, [(5, *SOUND[10])], split="test")) == {"duplicate_across_splits"}


@pytest.mark.parametrize(
    "text",
    [
        "Ä“ und Ö”, „Spaß“ und «Ã»",
        "São Paulo – NÃO, Ângela",
        "voilà… l’été, château",
        "日本語 und русский",
        "der\tHund",
        "Ærø, Ångström, Łódź",
    ],
)
def test_unusual_but_sound_text_is_no_fault(tmp_path, text):
    assert not {"mojibake", "control_character", "bad_utf8"} & set(findings(tmp_path, [(5, SOURCE, text)]))


def test_files_of_windows_have_no_control_characters(tmp_path):
    assert findings(tmp_path, end="\r\n") == {}


def recoded(folder, lines):
    """Write some lines of a file in Windows-1252."""
    path = folder / "train.de"
    rows = path.read_bytes().split(b"\n")
    for number in range(lines):
        rows[number] = "Männer läuft Wüste".encode("cp1252") + rows[number]
    path.write_bytes(b"\n".join(rows))


@pytest.mark.parametrize(("lines", "severity"), [(2, "warning"), (100, "error")])
def test_bytes_that_are_not_utf8(tmp_path, lines, severity):
    findings(tmp_path)
    recoded(tmp_path, lines)
    found = {f.kind: f for f in check_sentences(open_pairs(tmp_path, source="en", target="de"))}
    assert found["bad_utf8"].severity == severity and len(found["bad_utf8"].items) == lines
    assert "replacement_character" not in found


def test_swapped_and_other_languages(tmp_path):
    english = [f"the dog of the man and a woman are in the house {n}" for n in range(240)]
    german = [f"der Hund und die Frau sind mit dem Mann auf einem Haus {n}" for n in range(240)]
    changed = [(number, german[number], english[number]) for number in range(200)]
    found = findings(tmp_path / "a", changed)["swapped_languages"]
    assert found.severity == "warning" and "Swap --source and --target" in found.message
    right = [(number, english[number], german[number]) for number in range(200)]
    assert not {"swapped_languages", "other_language"} & set(findings(tmp_path / "b", right))
    other = findings(tmp_path / "c", right, names=("en", "fr"))["other_language"]
    assert "the target, called fr, reads like de" in other.message
    assert "other_language" not in findings(
        tmp_path / "d", right, names=("src", "tgt"), source=None, target=None
    )


def test_shuffled_translations_are_misaligned(tmp_path):
    lines = [german for _, german in SOUND[:200]]
    random.Random(0).shuffle(lines)
    changed = [(number, SOUND[number][0], line) for number, line in enumerate(lines)]
    assert findings(tmp_path, changed)["misaligned"].message.startswith("train: the lengths")


def test_a_drawn_test_split_is_a_note(tmp_path):
    write(tmp_path / "train.en", [english for english, _ in SOUND])
    write(tmp_path / "train.de", [german for _, german in SOUND])
    (found,) = check_sentences(open_pairs(tmp_path, source="en", target="de"))
    assert (found.kind, found.severity) == ("opened", "note") and "drawn by seed 0" in found.message
