"""A whole study of a segmentation network, on scenes whose truth is a mask."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from foveate.compare.finished_study import Study
from foveate.compare.report import read_result
from foveate.compare.run_files import answers
from foveate.compare.statistics.pseudo_values import item_scores
from foveate.compare.study import compare
from foveate.data.open import open_data
from foveate.errors import DataError, UnknownNameError
from foveate.infer.load import load
from foveate.recipe import TrainConfig
from foveate.tasks import tasks
from foveate.tasks.cards.mask_pictures import choose
from foveate.train.progress import Silent
from tests.compare.study_samples import brief_studies

DATA = "scenes(masks=True, classes=3, train=24, val=6, test=8, size=32)"
WORDS = {
    "model": "unet(encoder=resnet8)",
    "variants": ["cbam@stage3"],
    "epochs": 1,
    "control": "none",
    "train": TrainConfig(batch_size=8, loss="ce+0.5*dice", class_weights="log", crop=24, rare=0.5),
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def study(home: Path) -> Study:
    with brief_studies():
        return compare(DATA, **WORDS, seeds=3, metric="dice", out=home / "study", progress=Silent())


def test_the_score_is_the_metric_over_all_test_pixels(study: Study):
    data = open_data(DATA)
    masks = np.stack([data.splits["test"].masks(item) for item in range(8)])
    for variant in study.result["variants"]:
        for seed, told in enumerate(variant["score"]["per_seed"]):
            labels = answers(study.folder, variant["name"], seed)[1]
            dice = []
            for k in range(len(data.classes)):
                both, all_ = ((labels == k) & (masks == k)).sum(), (labels == k).sum() + (masks == k).sum()
                dice += [2 * both / all_] if all_ else []
            assert told == pytest.approx(100 * np.mean(dice))
            assert {figure["name"] for figure in variant["figures"]} == {"mIoU", "pixel accuracy"}


def test_differences_are_paired_by_image(study: Study):
    task = tasks["segmentation"](open_data(DATA).classes, metric="dice")
    scores = {
        v["name"]: np.stack([item_scores(task, answers(study.folder, v["name"], s)[0]) for s in range(3)])
        for v in study.result["variants"]
    }
    difference = study.result["variants"][1]["difference"]
    assert difference["mean"] == pytest.approx(100 * (scores["cbam@stage3"] - scores["baseline"]).mean())
    assert difference["low"] is not None and difference["low"] < difference["mean"] < difference["high"]
    names = [entry["class"] for entry in study.result["variants"][1]["per_class"]]
    assert names == list(open_data(DATA).classes)


def test_the_report_shows_masks_in_the_classes_colours(study: Study):
    page = (study.folder / "report.html").read_text(encoding="utf-8")
    pictures = read_result(study.folder)["pictures"]
    assert len(pictures) == 8 and all(p["mask"].startswith("data:image/png") for p in pictures)
    assert all(v["mask"].startswith("data:image/png") for p in pictures for v in p["variants"])
    maps = [m for v in pictures[0]["variants"] if v["name"] == "cbam@stage3" for m in v["maps"]]
    assert len(maps) == 1
    for name, colour in zip(open_data(DATA).classes, open_data(DATA).colours.tolist(), strict=True):
        assert f"rgb({', '.join(map(str, colour))})" in page and name in page


def test_the_best_model_draws_pictures_of_any_size(study: Study):
    model = load(study.folder)
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    (found,) = model.predict(image)
    assert found.shape == (len(model.classes), 40, 60)
    torch.testing.assert_close(found.sum(0), torch.ones(40, 60))
    config = json.loads((study.folder / "best" / "config.json").read_text())
    assert config["task"] == "segmentation" and config["size"] == [32, 32]
    assert config["palette"] == open_data(DATA).colours.tolist()


def test_the_same_call_makes_no_run_again(study: Study, home: Path):
    again = compare(DATA, **WORDS, seeds=3, metric="dice", out=home / "study", progress=Silent())
    assert again.result["runs"] == study.result["runs"]


def test_mistakes_are_told_before_anything_is_made(home: Path, tmp_path: Path):
    with pytest.raises(DataError, match=r"has masks, but classification needs one label per image"):
        compare(DATA, **WORDS, task="classification", out=tmp_path / "none")
    with pytest.raises(UnknownNameError, match="miuo"):
        compare(DATA, **WORDS, metric="miuo", out=tmp_path / "none")
    with pytest.raises(UnknownNameError, match="dise"):
        compare(DATA, **WORDS | {"train": TrainConfig(loss="ce+dise")}, out=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_pictures_are_those_on_which_variants_differ_most():
    one = np.zeros((3, 4, 4), np.uint8)
    other = one.copy()
    other[2, :2], other[0, 0] = 1, 1
    chosen, share = choose({"one": one, "other": other}, 2)
    assert chosen.tolist() == [2, 0]
    np.testing.assert_allclose(share, [0.25, 0, 0.5])
