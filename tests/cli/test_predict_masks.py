"""Models that segment, on the command line: files, their names, and what goes wrong."""

import importlib
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from foveate.cli.__main__ import main
from foveate.tasks import tasks

TRAINED = importlib.import_module("foveate.infer.load")  # `foveate.compare` itself is a function
LOAD = TRAINED.load
PALETTE = ((64, 64, 64), (255, 0, 255))


class Bright(nn.Conv2d):
    """Says 1 where a pixel is bright."""

    def __init__(self):
        super().__init__(3, 1, 1)
        nn.init.constant_(self.weight, 30.0)
        nn.init.zeros_(self.bias)


def equipped(model, task, **inputs):
    """Return a model as ``load`` gives it back."""
    inputs["normalisation"] = {"mean": (0.5,) * 3, "std": (0.5,) * 3}
    return TRAINED.equip(model.eval(), tasks[task].of(tasks[task].read_inputs(inputs)), {})


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """Two pictures, bright on the left: of one, a third; of the other, a half."""
    model = equipped(Bright(), "segmentation", classes=("dark", "bright"), size=(24, 32), palette=PALETTE)
    monkeypatch.setattr(TRAINED, "load", lambda folder, **_: model)
    monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for name, bright in (("one.png", 20), ("two.png", 30)):
        pixels = np.full((48, 60, 3), 10, np.uint8)
        pixels[:, :bright] = 240
        Image.fromarray(pixels).save(tmp_path / name)
    return tmp_path


def run(capsys, *words, code=0):
    assert main(["predict", "model", *words]) == code
    return capsys.readouterr()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_shares_alone(workplace, capsys):
    printed = run(capsys, "one.png", "two.png").out.splitlines()
    assert printed[0] == "one.png" and printed[3] == "two.png" and len(printed) == 6
    assert printed[1].endswith("%  dark") and printed[2].endswith("%  bright")
    assert 60 < float(printed[1].split()[0]) < 70 and float(printed[4].split()[0]) == pytest.approx(50, abs=1)
    assert names(workplace) == ["one.png", "two.png"]


def test_masks_and_overlays_unless_told_otherwise(workplace, capsys):
    printed = run(capsys, "one.png", "--out", "found", "--window", "16").out
    assert printed.splitlines() == [
        "one.png",
        "  66.7 %  dark",
        "  33.3 %  bright",
        "  found/one_mask.png",
        "  found/one_overlay.png",
    ]
    assert names(workplace / "found") == ["one_mask.png", "one_overlay.png"]
    with Image.open("found/one_mask.png") as mask:
        assert mask.mode == "P" and np.array_equal(np.asarray(mask), np.tile([1] * 20 + [0] * 40, (48, 1)))
        assert mask.getpalette()[:6] == [*PALETTE[0], *PALETTE[1]]


@pytest.mark.parametrize("kind", ["mask.png", "overlay.png", "probabilities.npy"])
def test_each_kind_alone_and_as_json(kind, workplace, capsys):
    flag = {"mask.png": "--masks", "overlay.png": "--overlays"}.get(kind, "--probabilities")
    answers = json.loads(run(capsys, "one.png", "two.png", "--out", "a/b", flag, "--json").out)
    assert names(workplace / "a/b") == [f"one_{kind}", f"two_{kind}"]
    assert [answer["image"] for answer in answers] == ["one.png", "two.png"]
    assert answers[0][kind.partition(".")[0]] == f"a/b/one_{kind}"
    assert sum(answers[0]["classes"].values()) == pytest.approx(1)
    if kind.endswith("npy"):
        found = np.load(f"a/b/one_{kind}")
        assert found.shape == (2, 48, 60) and found.dtype == np.float16


def test_windows_and_views_reach_the_network(capsys, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "foveate.segment.streamed.segment_file",
        lambda model, image, wanted, **settings: (
            seen.append(SimpleNamespace(**settings)) or np.array([1.0, 0.0])
        ),
    )
    run(capsys, "one.png", "--window", "16,20", "--overlap", "0.5", "--flips", "lr,ud", "--scales", "0.5,1",
        "--rotations", "0,90")  # fmt: skip
    run(capsys, "one.png")
    tiled, plain = seen
    assert tiled.tiling.size == (16, 20) and tiled.tiling.overlap == 0.5
    assert (
        tiled.views.flips == "lr,ud" and tiled.views.scales == (0.5, 1) and tiled.views.rotations == (0, 90)
    )
    assert plain.tiling is None and len(plain.views) == 1 and plain.size == (24, 32)


def test_a_crf_follows_the_colours_of_the_picture(workplace, capsys):
    pixels = np.full((48, 60, 3), 10, np.uint8)
    pixels[:, :20], pixels[20:23, 5:8] = 133, 125  # a spot that is hardly darker, and hardly surer
    Image.fromarray(pixels).save(workplace / "spot.png")
    labels = []
    for words in ([], ["--crf"]):
        run(capsys, "spot.png", "--out", "found", "--masks", "--window", "64", *words)
        with Image.open("found/spot_mask.png") as mask:
            labels.append(np.asarray(mask))
    plain, refined = labels
    assert plain[:, :20].mean() == 1 - 9 / 960 and plain[20:23, 5:8].max() == 0
    assert np.array_equal(refined, np.tile([1] * 20 + [0] * 40, (48, 1)))


def test_unreadable_pictures_are_named_and_the_others_done(workplace, capsys):
    (workplace / "broken.png").write_bytes(b"nothing")
    printed = run(capsys, "missing.png", "one.png", "broken.png", "two.png", "--out", "found", code=2)
    assert "missing.png" in printed.err and "broken.png" in printed.err and "Traceback" not in printed.err
    assert len(names(workplace / "found")) == 4
    answers = json.loads(run(capsys, "broken.png", "one.png", "--json", code=2).out)
    assert "broken.png" in answers[0]["error"] and "classes" in answers[1]


def test_files_do_not_collide_nor_fall_on_inputs(workplace, capsys):
    (workplace / "other").mkdir()
    for name in ("other/one.png", "One.jpg", "one_mask.png"):
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(workplace / name)
    before = (workplace / "one_mask.png").read_bytes()
    for words in (["one.png", "other/one.png", "--out", "x"], ["one.png", "One.jpg", "--out", "x"]):
        said = run(capsys, *words, code=2).err
        assert all(word in said for word in words[:2]) and "one after the other" in said
    assert "one of the pictures" in run(capsys, "one.png", "one_mask.png", "--out", ".", code=2).err
    assert (workplace / "one_mask.png").read_bytes() == before and not (workplace / "x").exists()
    run(capsys, "one.png", "one.png", "--out", "x")  # twice the same is no collision


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--masks"], "--out FOLDER"),
        (["--overlap", "0.5"], "--window 512"),
        (["--window", "wide"], "one number, or two"),
        (["--window", "1,2,3"], "one number, or two"),
        (["--window", "0"], "no pixels"),
        (["--scales", "0.5,"], "numbers are expected"),
        (["--scales", "-1"], "above 0"),
        (["--flips", "up"], '"up" is unknown'),
        (["--rotations", "45"], "multiples of 90"),
    ],
)
def test_impossible_options_are_refused(words, text, capsys):
    assert text in run(capsys, "one.png", *words, code=2).err


def test_options_of_masks_are_refused_for_whole_pictures(capsys, monkeypatch):
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    nn.init.zeros_(model[1].weight)
    model[1].bias.data = torch.tensor([0.25, 0.75]).log()
    equipped(model, "classification", classes=("a", "b"), size=(8, 8))
    monkeypatch.setattr(TRAINED, "load", lambda folder, **_: model)
    assert "classifies whole pictures" in run(capsys, "one.png", "--out", "found", code=2).err
    assert run(capsys, "one.png").out == "one.png\n  75.0 %  b\n  25.0 %  a\n"


@pytest.mark.slow
def test_train_then_predict(workplace, capsys, monkeypatch):
    monkeypatch.setattr(TRAINED, "load", LOAD)
    data = "scenes(size=24, train=32, val=0, test=16, classes=2, masks=True)"
    assert main(["train", data, "--model", "unet(encoder=resnet8)", "--epochs", "1", "--out", "kept"]) == 0
    capsys.readouterr()
    assert main(["predict", "kept", "one.png", "--out", "found", "--flips", "lr", "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert set(answer["classes"]) == {"background", "0", "1"}
    with Image.open(answer["mask"]) as mask:
        assert mask.size == (60, 48) and np.asarray(mask).max() < 3
