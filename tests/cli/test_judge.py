"""``foveate judge`` on scenes, on plain pictures, and on what cannot be judged."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveate.cli.__main__ import main
from foveate.data.judged_pictures import judged_pictures
from foveate.data.picture_form import PictureForm
from foveate.recipe import TrainConfig
from foveate.train.progress import Silent
from foveate.train.train_one import train

DATA = "scenes(size=24, train=16, val=0, test=12, classes=2)"
HALF = (0.5, 0.5, 0.5)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judge")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOVEATE_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        train(
            DATA,
            model="resnet8(width=4)",
            out="run",
            train=TrainConfig(batch_size=8),
            epochs=1,
            progress=Silent(),
        )
        for number in range(3):
            pixels = np.random.default_rng(number).integers(0, 255, (30, 40, 3), dtype=np.uint8)
            (folder / "in").mkdir(exist_ok=True)
            Image.fromarray(pixels).save(folder / "in" / f"{number}.png")
        (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
        yield folder


@pytest.fixture(autouse=True)
def there(home, monkeypatch):
    monkeypatch.chdir(home)


QUICK = ["--metric", "energy", "--metric", "deletion(steps=3)", "--baseline", "centre"]


def test_scenes_have_masks_and_labels(capsys):
    assert main(["judge", "run", DATA, *QUICK, "--out", "found", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["pictures"] == 12 and told["maps"] == ["grad_cam"] and told["baselines"] == ["centre"]
    assert [*told["scores"]] == ["energy", "deletion(steps=3)"]
    left = told["skipped"].get("wrongly predicted", 0)
    assert told["scores"]["energy"]["centre"]["pictures"] == 12 - left
    rows = [*csv.DictReader(Path("found/scores.csv").read_text(encoding="utf-8").splitlines())]
    assert len(rows) == 12 * 2 * 2 and {row["map"] for row in rows} == {"grad_cam", "centre"}
    written = json.loads(Path("found/judgement.json").read_text(encoding="utf-8"))
    assert written["scores"] == told["scores"]


def test_the_text_names_what_is_beaten(capsys):
    assert main(["judge", "run", DATA, *QUICK, "-m", "saliency", "-m", "hires_cam", "--images", "6"]) == 0
    text = capsys.readouterr().out
    assert "energy, saliency: better than the centre of the picture: " in text
    assert "energy, hires_cam: better than the centre of the picture: " in text and "cells." in text


def test_pictures_without_truth_and_one_that_cannot_be_read(capsys):
    words = ["judge", "run", "in/0.png", "broken.jpg", "in/1.png", "--metric", "gini", "--baseline", "edges"]
    assert main(words) == 2
    printed = capsys.readouterr()
    assert "grad_cam" in printed.out and "broken.jpg: cannot be read" in printed.err
    assert main(["judge", "run", "in", "--metric", "pointing"]) == 2
    assert "needs true masks" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["judge", "run"], "got no pictures"),
        (["judge", "run", DATA, "--split", "dev"], "Its splits: train, test"),
        (["judge", "run", DATA, "--metric", "deletio"], "deletion"),
        (["judge", "run", "nowhere.png"], "nowhere.png"),
        (["judge", "resnet8", DATA], "no published weights"),
        (["judge", "select", DATA, "--untrained", "--classes", "3"], "looks at parts of large pictures"),
    ],
)
def test_what_cannot_be_judged(words, said, capsys):
    assert main(words) == 2
    assert said in capsys.readouterr().err


def test_masks_of_a_folder_of_masks(tmp_path):
    for number in range(6):
        for kind in ("images", "masks"):
            (tmp_path / kind).mkdir(exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 255, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
        mask = np.zeros((20, 30), np.uint8)
        mask[5:10, 10:20] = 255
        Image.fromarray(mask).save(tmp_path / "masks" / f"{number}.png")
    found = judged_pictures([str(tmp_path)], PictureForm((20, 20), HALF, HALF), split="train", most=2)
    assert found.where.shape == (2, 20, 20) and found.labels is None
    assert found.where[:, 5:10, 5:15].all() and found.where.sum() == 2 * 50
