"""``predict`` on folders and broken pictures; what is printed on a terminal that is not UTF-8."""

import io
import json
import sys

import numpy as np
import pytest
from PIL import Image

from foveate.cli.__main__ import main
from foveate.recipe import TrainConfig
from foveate.train.progress import Silent
from foveate.train.train_one import train


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predict")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOVEATE_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        recipe, usual = TrainConfig(batch_size=8), {"epochs": 1, "progress": Silent()}
        labelled = "scenes(size=24, train=16, val=0, test=6, classes=3)"
        train(labelled, model="resnet8(width=4)", out="kept", train=recipe, **usual)
        masked = "scenes(masks=True, size=24, train=8, val=0, test=4, classes=2)"
        train(masked, model="unet(encoder=resnet8)", out="masks", train=recipe, **usual)
        for number, name in enumerate(("a.png", "b/c.png", "b/a.png", "é 年.png")):
            path = folder / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(number).integers(0, 255, (20, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
        (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
        yield folder


@pytest.fixture(autouse=True)
def there(home, monkeypatch):
    monkeypatch.chdir(home)


def test_a_folder_is_all_its_pictures(capsys):
    assert main(["predict", "kept", "in", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [entry["image"] for entry in told] == ["in/a.png", "in/b/a.png", "in/b/c.png", "in/é 年.png"]
    assert all(sum(entry["classes"].values()) == pytest.approx(1, abs=1e-5) for entry in told)


@pytest.mark.parametrize("model", ["kept", "masks"])
def test_one_broken_picture_does_not_lose_the_others(model, capsys):
    words = ["predict", model, "in/a.png", "broken.jpg", "in/b/c.png"]
    assert main(words) == 2
    printed = capsys.readouterr()
    assert "in/a.png" in printed.out and "in/b/c.png" in printed.out
    assert "broken.jpg: cannot be read" in printed.err and "Traceback" not in printed.err
    assert main([*words, "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert ["error" in entry for entry in told] == [False, True, False]


@pytest.mark.parametrize("model", ["kept", "masks"])
def test_a_picture_of_more_pixels_than_allowed_is_named_and_the_others_done(model, capsys):
    big, small = np.zeros((25, 30, 3), np.uint8), "in/a.png"  # which has 20 x 30 pixels
    Image.fromarray(big).save("big.png")
    assert main(["predict", model, "big.png", small, "--max-pixels", "600"]) == 2
    printed = capsys.readouterr()
    assert "give --max-pixels 750" in printed.err and small in printed.out
    assert main(["predict", model, "big.png", small, "--max-pixels", "750"]) == 0
    capsys.readouterr()
    assert main(["predict", model, small, "--max-pixels", "0"]) != 0
    assert "whole number of at least 1" in capsys.readouterr().err


def test_masks_of_a_folder_lie_as_its_pictures_do(home, capsys):
    assert main(["predict", "masks", "in", "--out", "found", "--masks"]) == 0
    found = sorted(str(path.relative_to(home / "found")) for path in (home / "found").rglob("*.png"))
    assert found == ["a_mask.png", "b/a_mask.png", "b/c_mask.png", "é 年_mask.png"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_terminal_that_is_not_utf8_shows_what_it_can(encoding, monkeypatch):
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    assert main(["predict", "kept", "in/é 年.png", "gone 年.png", "--json"]) == 2
    assert main(["list"]) == 0  # has lines and signs
    for stream in (out, err):
        stream.flush()
    told = json.JSONDecoder().raw_decode(out.buffer.getvalue().decode(encoding))[0]
    assert [entry["image"] for entry in told] == ["in/é 年.png", "gone 年.png"]
    assert rb"gone \u5e74.png: cannot be read" in err.buffer.getvalue()


def test_signs_become_plain_ones(capsysbinary):
    from foveate.cli.encoding import be_tolerant

    be_tolerant()
    assert "− 3 … ± 年".encode("ascii", errors="foveate") == b"- 3 ... +/- \\u5e74"
    assert "a\udcff".encode("utf-8", errors="foveate") == b"a\\udcff"


@pytest.mark.parametrize("seed", ["-1", str(2**64)])
@pytest.mark.parametrize("verb", [["train", "--out", "x"], ["train", "--out", "x", "--dry-run"]])
def test_seeds_that_nothing_can_be_seeded_with_are_refused(verb, seed, capsys):
    words = [verb[0], "scenes(size=24, train=16, val=0, test=6)", "--model", "resnet8", *verb[1:]]
    assert main([*words, "--seed", seed]) == 2
    assert "expected a whole number from 0" in capsys.readouterr().err


def test_a_dry_run_of_train_says_what_it_would_do(home, capsys):
    words = ["train", "scenes(size=24, train=16, val=0, test=6)", "--model", "resnet8", "--out", "new"]
    assert main([*words, "--metric", "f1", "--dry-run"]) == 0
    assert "judged by macro F1" in capsys.readouterr().out
    assert main([*words, "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] > 0
    assert not (home / "new").exists()
