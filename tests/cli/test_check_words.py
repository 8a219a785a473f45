"""``foveate check`` on sentences and on captioned pictures, as a user types it."""

import json

import pytest

from foveate.cli.__main__ import main
from tests.data.captions.caption_samples import write_list
from tests.data.pairs.pair_samples import write, write_parts


def findings(capsys, *words):
    """Return the exit code and the findings by kind."""
    code = main(["check", *map(str, words), "--json"])
    return code, {finding["kind"]: finding for finding in json.loads(capsys.readouterr().out)}


LANGUAGES = ("--source", "en", "--target", "de")


def test_sentences_are_recognised_and_checked(tmp_path, capsys):
    parts = write_parts(tmp_path)
    code, found = findings(capsys, tmp_path, *LANGUAGES)
    assert code == 0 and "test is test_2016_flickr" in found["opened"]["message"]
    write(tmp_path / "test_2016_flickr.en", [english for english, _ in parts["train"][:10]])
    assert "duplicate_across_splits" in findings(capsys, tmp_path, *LANGUAGES)[1]


def test_files_that_do_not_match_are_an_error_that_stops_a_study(tmp_path, capsys):
    parts = write_parts(tmp_path)
    write(tmp_path / "train.de", [german for _, german in parts["train"][1:]])
    code, found = findings(capsys, tmp_path, *LANGUAGES)
    assert code == 1 and "has 60 lines" in found["cannot_open"]["message"]


def test_captions_are_recognised_and_checked(tmp_path, capsys):
    write_list(tmp_path)
    code, found = findings(capsys, tmp_path)
    assert code == 0 and set(found) == {"uneven_captions"}
    (tmp_path / "images" / "3.jpg").write_bytes(b"not a picture")
    code, found = findings(capsys, tmp_path)
    assert code == 1 and found["unreadable"]["items"][0].startswith("3.jpg")


@pytest.mark.parametrize(
    ("write_data", "words", "says"),
    [
        (write_parts, (), "--source de --target en"),
        (write_parts, (*LANGUAGES, "--ignore-index", "3"), "Leave --ignore-index out"),
        (write_list, ("--source", "en"), "Leave --source out"),
    ],
)
def test_what_is_missing_or_too_much_is_named(tmp_path, capsys, write_data, words, says):
    write_data(tmp_path)
    assert main(["check", str(tmp_path), *words]) == 2
    assert says in capsys.readouterr().err
