from __future__ import annotations

import json
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from foveate.compare.build import build
from foveate.compare.finished_study import Study
from foveate.compare.plan import StudyPlan
from foveate.compare.report import read_result
from foveate.compare.run_files import ANSWERS, run_folder
from foveate.compare.store import Store
from foveate.compare.study import compare
from foveate.data.open import open_data
from foveate.errors import CheckpointError, DataError, FoveateError, ShapeError, StudyError
from foveate.infer.load import load
from foveate.tasks.base import task_with
from foveate.train.progress import Silent
from tests.compare.study_samples import DATA, words


class Counting(Silent):
    """Counts the runs that begin and the steps they take."""

    def __init__(self) -> None:
        self.runs: list[str] = []

    def begin(self, name: str, steps: int, done: int = 0) -> None:
        self.runs.append(name)


pytestmark = pytest.mark.usefixtures("brief")


@pytest.fixture(scope="module")
def study(home: Path) -> Study:
    """The one study of this file that leaves nothing out."""
    return compare(**words(out=home / "study", progress=Silent()))


def test_the_folder_holds_what_was_promised(study: Study):
    for name in (
        "report.html",
        "study.json",
        "runs.csv",
        "study.sqlite",
        "best/model.safetensors",
        "best/config.json",
    ):
        assert (study.folder / name).is_file(), name
    assert len(list((study.folder / "runs").glob("*/*/test.npz"))) == 3 * 3


def test_the_result_has_the_numbers_of_the_runs(study: Study):
    result = study.result
    variants = {v["name"]: v for v in result["variants"]}
    assert [v["role"] for v in result["variants"]] == ["baseline", "variant", "control"]
    for name, variant in variants.items():
        answers = [np.load(run_folder(study.folder, name, seed) / ANSWERS)["records"] for seed in range(3)]
        assert variant["score"]["per_seed"] == pytest.approx([100 * a.mean() for a in answers])
        assert variant["score"]["mean"] == pytest.approx(100 * np.mean(answers))
        assert sum(entry["items"] for entry in variant["per_class"]) == 40
        assert len(variant["curves"]) == 3 and variant["latency"]["batch"]["images"] == 32
    se, base = variants["se@stage3"], variants["baseline"]
    assert se["difference"]["mean"] == pytest.approx(se["score"]["mean"] - base["score"]["mean"])
    assert se["difference"]["low"] <= se["difference"]["mean"] <= se["difference"]["high"]
    assert se["cost"]["parameters"] > base["cost"]["parameters"]
    assert se["as_attention"] and se["gates"][0]["mechanism"] == "se" and len(se["gates"][0]["openings"]) == 3
    assert result["recipe"]["data"]["fingerprint"] == open_data(DATA).fingerprint
    assert {run["steps"] for run in result["runs"]} == {3}
    json.dumps(read_result(study.folder), allow_nan=False)


def test_the_control_costs_what_the_variant_costs(study: Study):
    by_role = {v["role"]: v["cost"] for v in study.result["variants"]}
    added = {
        role: by_role[role]["parameters"] - by_role["baseline"]["parameters"]
        for role in ("variant", "control")
    }
    assert added["control"] == pytest.approx(added["variant"], rel=0.05)


def test_the_study_shows_itself(study: Study):
    assert set(study.verdicts) == {v["name"] for v in study.result["variants"][1:]}
    assert [row["variant"] for row in study.table] == [v["name"] for v in study.result["variants"]]
    assert max(len(line) for line in str(study.table).splitlines()) <= 100
    assert study.sentence in str(study) and study.sentence in repr(study)
    assert "se@stage3" in study._repr_html_()


def test_the_same_call_makes_no_run_again(study: Study, home: Path):
    progress = Counting()
    again = compare(**words(out=study.folder, progress=progress))
    assert progress.runs == [] and again.result == read_result(study.folder)


@pytest.mark.slow
def test_a_run_whose_answers_are_lost_is_made_again_alike(study: Study, home: Path):
    path = run_folder(study.folder, "se@stage3", 1) / ANSWERS
    before, table = np.load(path)["answers"], [row["score"] for row in study.table]
    path.write_bytes(b"cut short")
    again = compare(**words(out=study.folder, progress=Silent()))
    assert np.array_equal(np.load(path)["answers"], before)
    assert [row["score"] for row in again.table] == table


@pytest.mark.slow
def test_what_is_lost_or_damaged_is_made_again_by_the_same_call(study: Study, home: Path, caplog):
    def files() -> dict[str, bytes]:
        paths = [*study.folder.glob("best/*"), *study.folder.glob("runs/*/*/model.safetensors")]
        return {str(path): path.read_bytes() for path in paths}

    before, table, record = files(), str(study.table), (study.folder / "study.json").read_bytes()
    lost = run_folder(study.folder, "se@stage3", 2) / "model.safetensors"
    flipped = run_folder(study.folder, "baseline", 0) / "model.safetensors"
    lost.unlink()
    flipped.write_bytes(flipped.read_bytes()[:-1] + b"!")
    answers = run_folder(study.folder, "baseline", 1) / ANSWERS
    stored = bytearray(answers.read_bytes())
    stored[len(stored) // 2] ^= 16
    answers.write_bytes(stored)
    (study.folder / "study.json").write_bytes(record[: len(record) // 2])
    (study.folder / "report.html").unlink()
    shutil.rmtree(study.folder / "best")
    with pytest.raises(CheckpointError, match="command that made the folder makes it again"):
        load(study.folder)
    again = compare(**words(out=study.folder, progress=Silent()))
    assert files() == before and str(again.table) == table
    assert (study.folder / "report.html").is_file()
    assert "gone or damaged" in caplog.text and "trained again" in caplog.text
    assert not list(study.folder.rglob("*.part"))


def test_another_question_is_refused(study: Study, home: Path):
    with pytest.raises(StudyError, match=r"(?s)holds another study.*se@stage3 there, eca@stage3 here"):
        compare(**words(out=study.folder, variants=["eca@stage3"], progress=Silent()))
    with pytest.raises(StudyError, match=r"train\.lr"):
        compare(**words(out=study.folder, train=words()["train"].__class__(batch_size=32, lr=0.5)))
    with pytest.raises(StudyError, match=r"(?s)holds another study.*se@stage3 there, eca@stage3 here"):
        compare(**words(out=study.folder, variants=["eca@stage3"], dry_run=True))


def test_a_dry_run_where_the_study_is_done_says_so(study: Study):
    plan = compare(**words(out=study.folder, dry_run=True))
    assert isinstance(plan, StudyPlan) and len(plan.done) == 9 and plan.left == ()
    more = compare(**words(out=study.folder, seeds=4, dry_run=True))
    assert isinstance(more, StudyPlan) and {run.seed for run in more.left} == {3}
    assert "9 of 12 runs are done" in str(more)


def test_best_is_the_trained_model_and_predicts(study: Study, home: Path):
    model, config = load(study.folder), json.loads((study.folder / "best" / "config.json").read_text())
    assert model.classes == tuple(study.result["question"]["classes"]) and not model.training
    test = open_data(DATA).splits["test"]
    pictures = [test.load(item) for item in range(len(test))]
    stored = np.load(run_folder(study.folder, config["variant"], config["seed"]) / ANSWERS)["answers"]
    assert np.allclose(model.predict(pictures).numpy(), stored, atol=1e-5)
    assert model.predict(pictures[0]).shape == (1, 4) and model.predict([]).shape == (0, 4)
    assert torch.equal(load(study.folder / "best").predict(pictures[0]), study.best().predict(pictures[0]))
    with pytest.raises(ShapeError, match="expected a path"):
        model.predict(np.zeros((4, 4), np.uint8))
    if study.sentence.startswith("No variant is shown"):
        assert config["variant"] == "baseline" and "baseline" in config["chosen"]
    assert "median test score" in config["chosen"]  # this data has no validation images


def test_a_folder_without_a_model_is_told(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"no model is there.*finished study"):
        load(tmp_path)


def test_a_dry_run_makes_a_plan_and_no_file(home: Path, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = compare(**words(dry_run=True))
    assert isinstance(plan, StudyPlan) and len(plan.runs) == 9
    assert all(run.seconds > 0 and run.parameters > 0 and run.macs > 0 and run.bytes > 0 for run in plan.runs)
    assert list(tmp_path.iterdir()) == []
    json.dumps(plan.to_dict())


@pytest.mark.slow
def test_a_seed_gives_all_variants_the_same_base_weights(home: Path):
    plan = compare(**words(dry_run=True, variants=["se@stage2", "cbam@blocks"]))
    task = task_with(plan.task, plan.inputs, plan.train, plan.metric)
    base = build(plan, task, plan.variants[0], 1).state_dict()
    for variant in plan.variants[1:]:
        state = build(plan, task, variant, 1).state_dict()
        assert all(torch.equal(state[name], value) for name, value in base.items())
    first = next(iter(base))
    assert not torch.equal(base[first], build(plan, task, plan.variants[0], 2).state_dict()[first])


@pytest.mark.slow
def test_branches_start_from_the_trained_trunk(home: Path):
    found = compare(
        **words(
            mode="branch", branch_epochs=1, seeds=2, out=home / "branch", control="none", progress=Silent()
        )
    )
    assert found.result["question"]["mode"] == "branch"
    assert [run["variant"] for run in found.result["runs"]].count("trunk") == 2
    assert found.verdicts == {"se@stage3": "no verdict"}
    plan = Store(home / "branch").plan()
    trunk = load_file(run_folder(home / "branch", "trunk", 0) / "model.safetensors")
    branch = load_file(run_folder(home / "branch", "baseline", 0) / "model.safetensors")
    task = task_with(plan.task, plan.inputs, plan.train, plan.metric)
    fresh = build(plan, task, plan.variants[0], 0).state_dict()
    name = next(k for k, v in trunk.items() if v.ndim == 4)
    assert (branch[name] - trunk[name]).norm() < (branch[name] - fresh[name]).norm()


def test_one_seed_has_no_interval_and_says_why(home: Path):
    found = compare(**words(seeds=[5], out=home / "one", control="none", progress=Silent()))
    variant = found.result["variants"][1]
    assert variant["verdict"] == "no verdict" and variant["difference"]["low"] is None
    assert "one seed" in variant["words"] and "one seed" in found.sentence
    assert "it takes 3 seeds" in found.result["could_have_found"]


NAMELESS = {  # what no other process can import
    "model": lambda classes: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, classes)),
    "engine": "processes(count=2)",
}
PAIRS = {
    split: [(np.full((24, 24, 3), 9 * n + shift, np.uint8), n % 2) for n in range(4)]
    for split, shift in (("train", 0), ("test", 1))
}


@pytest.mark.parametrize(
    ("others", "text"),
    [
        ({"variants": []}, "expected a list, such as"),
        ({"variants": "se@blocks"}, "variants: got 'se@blocks', expected several"),
        ({"variants": ["se@stage3", "se@ stage3"]}, "stands for two variants"),
        ({"variants": {"baseline": "se@stage3"}}, "means something else"),
        ({"seeds": 0}, "seeds: got 0"),
        ({"seeds": [1, 1]}, "different whole numbers"),
        ({"mode": "best"}, "expected one of scratch, pretrained, branch"),
        ({"control": "some"}, "expected one of largest, each, none"),
        ({"start": "end"}, "expected one of identity, paper"),
        ({"margin": -1}, "at least 0"),
        ({"level": 95}, "such as 0.95"),
        ({"engine": "ray"}, 'no engine is called "ray"'),
        ({"engine": "processes(number=2)"}, 'has no option "number"'),
        (NAMELESS, "cannot get the model.*an import path"),
        ({"engine": "processes", "data": PAIRS}, "cannot get the data.*Give a path"),
        ({"mode": "branch", "variants": ["resnet14"]}, '"resnet14" is another model and has other weights'),
        (
            {"weights": "w.safetensors", "variants": ["resnet14"]},
            "belong to resnet8, but .*Leave weights",
        ),
    ],
)
def test_impossible_words_are_told_before_anything_is_made(others, text: str, home: Path, tmp_path: Path):
    with pytest.raises(FoveateError, match=text):
        compare(**words(out=tmp_path / "study", **others))
    assert not (tmp_path / "study").exists()


def test_data_with_errors_stops_the_study(home: Path, tmp_path: Path):
    for number, (split, name) in enumerate(product(("train", "test"), ("cat", "dog"))):
        (tmp_path / "data" / split / name).mkdir(parents=True)
        for n in range(3):
            pixels = np.random.default_rng([number, n]).integers(0, 255, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / split / name / f"{n}.png")
    (tmp_path / "data" / "train" / "cat" / "0.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"(?s)cannot be used yet.*0\.png"):
        compare(**words(data=tmp_path / "data", out=tmp_path / "study"))
