"""The verbs that train, on studies as small as they come."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from foveate.cli.__main__ import main
from foveate.cli.recipe_options import RecipeOptions
from foveate.tasks import Classification
from tests.compare.study_samples import brief_studies

DATA = "scenes(size=24, train=64, val=16, test=32, classes=3)"


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path / "cache"))
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "black.png")
    return tmp_path


def run(capsys, *words):
    code = main([*words, "--json"])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    return json.loads(printed.out)


def test_train_then_predict(workplace, capsys):
    words = ["train", DATA, "--model", "resnet8", "-a", "se@blocks", "--epochs", "2", "--out", "kept"]
    told = run(capsys, *words)
    assert told["metric"] == "accuracy" and 0 <= told["score"] <= 100
    assert len(told["history"]) == 2 and len(told["history"][0]["openings"]) == 3
    again = run(capsys, *words)
    assert again["score"] == told["score"] and again["steps"] == told["steps"]
    (answer,) = run(capsys, "predict", "kept", "black.png")
    assert set(answer["classes"]) == {"0", "1", "2"}
    assert sum(answer["classes"].values()) == pytest.approx(1, abs=1e-5)


def test_predict_prints_a_table(workplace, capsys):
    main(["train", DATA, "--model", "resnet8", "--epochs", "1", "--out", "kept"])
    capsys.readouterr()
    assert main(["predict", "kept", "black.png", "black.png"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "black.png" and len(lines) == 2 * (1 + 3)
    assert main(["predict", "kept"]) == 2
    assert "got no input" in capsys.readouterr().err


def test_check_finds_and_exits_with_1(workplace, capsys):
    for split in ("train", "test"):
        for name in "ab":
            folder = workplace / "pictures" / split / name
            folder.mkdir(parents=True)
            for number in range(3):
                pixels = np.random.default_rng([number, ord(name), len(split)]).integers(0, 255, (16, 16, 3))
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    assert main(["check", "pictures"]) == 0
    (workplace / "pictures/train/a/broken.png").write_bytes(b"")
    capsys.readouterr()
    assert main(["check", "pictures"]) == 1
    printed = capsys.readouterr().out
    assert "broken.png" in printed and "1 error," in printed
    assert main(["check", "pictures", "--json"]) == 1
    findings = json.loads(capsys.readouterr().out)
    assert any("broken.png" in item for finding in findings for item in finding["items"])


COMPARE = ("compare", DATA, "--try", "se@blocks", "-t", "eca@stage2", "--seeds", "2", "--epochs", "1")


def test_dry_run_makes_a_plan_and_nothing_else(workplace, capsys):
    plan = run(capsys, *COMPARE, "--out", "study", "--dry-run")
    names = [variant["name"] for variant in plan["variants"]]
    assert names[:3] == ["baseline", "se@blocks", "eca@stage2"] and len(names) == 4
    assert all(variant["macs"] > 0 and variant["step_seconds"] > 0 for variant in plan["variants"])
    assert not (workplace / "study").exists()


def test_dry_run_tells_what_the_check_of_the_data_warns_of(workplace, capsys):
    for split in ("train", "test"):
        for name in "ab":
            folder = workplace / "twice" / split / name
            folder.mkdir(parents=True)
            for number in range(4):
                pixels = np.random.default_rng([number, ord(name)]).integers(0, 255, (24, 24, 3))
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    assert main(["compare", "twice", "--try", "se@blocks", "--epochs", "1", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "Warning: 8 images are in several splits" in printed
    assert printed.rstrip().endswith("foveate check DATA")


@pytest.mark.slow
def test_compare_then_report_then_predict(workplace, capsys):
    with brief_studies():
        result = run(capsys, *COMPARE, "--out", "study")
    assert [variant["role"] for variant in result["variants"]] == [
        "baseline",
        "variant",
        "variant",
        "control",
    ]
    assert result["recipe"]["command"].startswith("foveate compare 'scenes(size=24")
    for name in ("report.html", "study.json", "runs.csv", "study.sqlite", "best/model.safetensors"):
        assert (workplace / "study" / name).is_file(), name
    (workplace / "study/report.html").unlink()
    assert main(["report", "study"]) == 0
    assert capsys.readouterr().out.strip() == "study/report.html"
    assert (workplace / "study/report.html").is_file()
    (answer,) = run(capsys, "predict", "study", "black.png")
    assert set(answer["classes"]) == {"0", "1", "2"}


@pytest.mark.nightly
def test_quick_demo(workplace, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["demo", "--quick"]) == 0
    printed = capsys.readouterr().out
    assert "runs/demo-quick/report.html" in printed
    assert max(map(len, printed.splitlines())) <= 80
    assert (workplace / "runs/demo-quick/report.html").is_file()


def usual(source, **options):
    return Classification.usual_recipe(SimpleNamespace(origin={"source": source}), **options)


def test_fine_tuning_has_its_own_learning_rate():
    assert usual("pictures").lr == 1e-3
    assert usual("pictures", tuned=True).lr == 1e-4
    assert RecipeOptions(lr=0.01).config(usual("pictures", tuned=True)).lr == 0.01


def test_scenes_have_their_own_recipe_by_default():
    assert usual("scenes(size=24)") == Classification.usual_recipe(None)
    assert usual("scenes").augment == "crop"  # a digit in the mirror is another sign
    assert RecipeOptions(augment="flip").config(usual("scenes")).augment == "flip"
