"""Studies whose runs are cross-validations: ``compare(folds=3)``."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import foveate as fv
from foveate.compare.best import choose
from foveate.compare.joined import in_order, mean_history, mean_score
from foveate.compare.plan import StudyPlan
from foveate.compare.planned import Folding
from foveate.compare.run_files import ANSWERS, run_folder, training_folder
from foveate.compare.study import compare
from foveate.compare.trainings import Training, counted
from foveate.data.open import open_data
from foveate.errors import DataError, FoveateError, StudyError
from foveate.recipe import TrainConfig
from foveate.tasks import tasks
from foveate.train.progress import Silent
from tests.compare.study_samples import brief_studies, plan

DATA = "scenes(train=26, val=0, test=14, classes=2, size=24)"
MODEL, FOLDS, ITEMS = "resnet8(width=4)", 3, 40
RECIPE = TrainConfig(batch_size=8, class_weights="inverse")  # which follow from a fold's training items


def words(**others: Any) -> dict[str, Any]:
    usual = {"data": DATA, "model": MODEL, "variants": ["se@stage3"], "seeds": 3, "epochs": 1}
    return {**usual, "folds": FOLDS, "control": "none", "train": RECIPE, "progress": Silent(), **others}


@pytest.fixture(autouse=True, scope="module")
def brief_module() -> Iterator[None]:
    with brief_studies():
        yield


@pytest.fixture(scope="module")
def study(home: Path) -> Any:
    return compare(**words(out=home / "study"))


def table(study: Any) -> list[tuple]:
    """Return all that does not depend on the clock."""
    return [
        (v["name"], v["score"], v["difference"], v["verdict"], v["gates"]) for v in study.result["variants"]
    ]


def test_a_run_equals_a_training_by_hand_for_each_fold(study: Any, home: Path):
    folds = tasks["classification"].folds(open_data(DATA), FOLDS)
    kept = np.load(run_folder(study.folder, "se@stage3", 1) / ANSWERS)
    for fold, (part, items) in enumerate(zip(folds.parts, folds.items, strict=True), 1):
        by_hand = fv.train(
            part,
            model=MODEL,
            attention="se@stage3",
            epochs=1,
            seed=1,
            train=RECIPE,
            out=home / f"fold{fold}",
            progress=Silent(),
        )
        own = load_file(training_folder(study.folder, "se@stage3", 1, fold) / "model.safetensors")
        theirs = load_file(home / f"fold{fold}" / "model.safetensors")
        assert all(torch.equal(own[name], theirs[name]) for name in own)
        assert 100 * kept["records"][items].mean() == pytest.approx(by_hand.score)
        pictures = np.stack([part.splits["test"].load(item) for item in range(len(items))])
        np.testing.assert_allclose(kept["answers"][items], by_hand.predict(pictures), atol=1e-5)


def test_statistics_see_all_items_of_every_run(study: Any):
    question, base = study.result["question"], study.result["variants"][0]
    assert (question["folds"], question["items"], question["train_items"]) == (FOLDS, ITEMS, 26)
    assert sum(row["items"] for row in base["per_class"]) == ITEMS
    records = [np.load(run_folder(study.folder, "baseline", s) / ANSWERS)["records"] for s in range(3)]
    assert [len(each) for each in records] == [ITEMS] * 3
    np.testing.assert_allclose(base["score"]["per_seed"], [100 * each.mean() for each in records])
    assert sum(map(sum, base["confusion"]["matrix"])) == 3 * ITEMS
    steps = sum((ITEMS - size) // 8 for size in (14, 13, 13))
    assert {run["steps"] for run in study.result["runs"]} == {steps}
    assert any(
        "cross-validation over the same 3 folds of 13 to 14" in r for r in study.result["recipe"]["rules"]
    )
    page = (study.folder / "report.html").read_text("utf-8")
    assert "in 3 folds, each tested by a training on the others" in page


def test_pictures_are_of_items_that_the_model_has_not_seen(study: Any):
    folds = tasks["classification"].folds(open_data(DATA), FOLDS)
    shown = {card["item"] for card in json.loads((study.folder / "pictures.json").read_text("utf-8"))}
    assert shown and shown <= set(folds.parts[0].splits["test"].names)


def test_the_best_model_is_that_of_one_training_and_the_report_says_which(study: Any):
    best = study.result["best"]
    assert f"seed {best['seed']} on all but fold {best['fold']} has the median test score" in best["reason"]
    folder = training_folder(study.folder, best["variant"], best["seed"], best["fold"])
    kept, own = (load_file(path / "model.safetensors") for path in (folder, study.folder / "best"))
    assert all(torch.equal(kept[name], own[name]) for name in own)
    assert study.best()(torch.zeros(1, 3, 24, 24)).shape == (1, 2)


class Heard(Silent):
    """Keeps the names of the trainings that begin, and stops the study as one of them begins or ends."""

    def __init__(self, begins: int | None = None) -> None:
        self.trainings: list[str] = []
        self.begins = begins

    def begin(self, name: str, steps: int, done: int = 0) -> None:
        self.trainings.append(name)

    def advance(self, done: int) -> None:
        if len(self.trainings) == self.begins:
            raise KeyboardInterrupt


@pytest.mark.parametrize("begins", [2, pytest.param(6, marks=pytest.mark.slow)])
def test_a_stopped_study_repeats_no_finished_training(begins: int, study: Any, home: Path):
    out, stopped, rest = home / f"stopped{begins}", Heard(begins), Heard()
    with pytest.raises(KeyboardInterrupt):
        compare(**words(out=out, progress=stopped))
    again = compare(**words(out=out, progress=rest))
    assert len(stopped.trainings) == begins and len(rest.trainings) == 6 * FOLDS - begins + 1
    assert not {*stopped.trainings[:-1]} & {*rest.trainings}
    assert rest.trainings[0] == stopped.trainings[-1]
    assert table(again) == table(study)


def test_a_training_whose_weights_are_gone_is_made_again_alone(study: Any):
    (training_folder(study.folder, "baseline", 2, 3) / "model.safetensors").unlink()
    (training_folder(study.folder, "baseline", 2, 3) / "result.json").unlink()
    heard = Heard()
    again = compare(**words(out=study.folder, progress=heard))
    assert heard.trainings == ["baseline, seed 2, fold 3"]
    assert table(again) == table(study)


def test_another_number_of_folds_is_another_study(study: Any):
    with pytest.raises(StudyError, match="folds: 3 there, 2 here"):
        compare(**words(out=study.folder, folds=2))
    with pytest.raises(StudyError, match="folds: 3 there, none here"):
        compare(**words(out=study.folder, folds=None))


def test_branches_go_on_from_the_trunk_of_their_seed_and_fold(home: Path):
    branching = words(out=home / "branch", mode="branch", branch_lr=1e-9, seeds=1, folds=2)
    compare(**branching)
    first = {
        (name, fold): load_file(training_folder(home / "branch", name, 0, fold) / "model.safetensors")
        for name in ("trunk", "baseline")
        for fold in (1, 2)
    }
    weights = [name for name, value in first["trunk", 1].items() if value.ndim == 4]
    for fold in (1, 2):
        for name in weights:
            torch.testing.assert_close(first["baseline", fold][name], first["trunk", fold][name])
    assert not all(torch.allclose(first["trunk", 1][name], first["trunk", 2][name]) for name in weights)
    assert not (run_folder(home / "branch", "trunk", 0) / ANSWERS).exists()


def folded(**others: Any) -> StudyPlan:
    items = {"train": 90, "val": 10, "test": 30}
    return plan(**{"items": items, "folds": Folding((40, 40, 40), (80, 80, 80), "at random"), **others})


def test_a_run_is_planned_as_all_of_its_trainings():
    run = folded().runs[0]
    assert run.steps == 3 * 4 * 2  # 80 images in batches of 32: two, three times over
    assert run.seconds == pytest.approx(24 * 0.5 + (3 * 4 * 10 + 120) * 0.01)
    assert folded().judged_on == 120 and folded().trained_on == (80, 80, 80)
    uneven = folded(folds=Folding((30, 70, 20), (90, 50, 100), "at random"))
    assert uneven.runs[0].steps == 4 * (2 + 1 + 3)


def test_a_dry_run_says_how_many_trainings_there_are(home: Path):
    told = str(compare(**words(dry_run=True, seeds="3..8")))
    assert "6 to 16 runs of 3 trainings: 2 variants x 3 to 8 seeds" in told
    assert "folds  3 of 13 to 14 images, stratified by class; each is tested in turn" in told
    assert max(map(len, told.splitlines())) <= 80


def test_a_plan_without_folds_is_the_study_that_it_was_before_there_were_any():
    assert "folds" not in plan().identity() and folded().identity()["folds"]["sizes"] == [40] * 3
    assert plan().digest() != plan(folds=Folding((60, 60), (60, 60), "at random")).digest()


@pytest.mark.parametrize("count", [0, 1, -3, 2.5, True, "5"])
def test_fewer_than_two_folds_are_refused(count: Any):
    with pytest.raises(FoveateError, match=r"folds: got .*, expected a whole number"):
        compare(**words(folds=count))


def test_more_folds_than_items_are_refused(home: Path):
    with pytest.raises(DataError, match=r"got 41, but scenes has 40 items to deal out\. Ask for 2 to 40"):
        compare(**words(folds=41, out=home / "many"))
    assert not (home / "many").exists()


def test_a_fold_need_not_be_enough_for_the_metric_by_itself(home: Path):
    """Some folds have one finding alone, so that its area under the curve exists over all items only."""
    targets = [0, 1] * 3 + [0] * 9
    pictures = [(np.full((24, 24, 3), 80 * t + n, np.uint8), t) for n, t in enumerate(targets)]
    data = {"train": pictures[2:], "test": pictures[:2]}
    made = words(
        data=data, metric="auroc", folds=5, seeds=1, out=home / "rare", train=TrainConfig(batch_size=6)
    )
    result = compare(**made).result
    assert all(math.isfinite(run["score"]) for run in result["runs"]) and result["best"]["fold"]


def record(*folds: tuple[float, float | None]) -> dict[str, Any]:
    return {"folds": [{"score": test, "val_score": val} for test, val in folds], "score": 0.5}


def test_the_best_training_is_the_median_one_or_the_best_validated():
    metric, nan = tasks["classification"]().metric, math.nan
    runs = {
        ("baseline", 0): record((0.9, None), (0.1, None)),
        ("baseline", 1): record((0.4, None), (nan, None)),
    }
    chosen = choose(plan(seeds=(0, 1)), "baseline", runs, metric)
    assert (chosen.seed, chosen.fold) == (1, 1)
    runs = {("baseline", 0): record((0.9, 0.2), (0.1, 0.3)), ("baseline", 1): record((0.4, 0.1), (nan, 0.2))}
    chosen = choose(plan(seeds=(0, 1)), "baseline", runs, metric)
    assert (chosen.seed, chosen.fold) == (0, 2) and "best validation score" in chosen.reason
    undefined = {("baseline", 0): record((nan, None), (nan, None))}
    assert choose(plan(seeds=(0,)), "baseline", undefined, metric).fold == 1


def test_answers_come_back_in_the_order_of_the_items():
    items = [np.array([1, 4]), np.array([0, 3]), np.array([2])]
    assert in_order(items, [each * 10 for each in items]).tolist() == [0, 10, 20, 30, 40]
    assert in_order(items, [[f"{n}" for n in each] for each in items]) == ["0", "1", "2", "3", "4"]
    shapes = [np.zeros((2, 3)), np.ones((2, 4)), np.ones((1, 3))]  # which do not fit into one array
    assert [len(answer) for answer in in_order(items, shapes)] == [4, 3, 3, 4, 3]


def test_histories_are_averaged_epoch_by_epoch():
    def epoch(loss: float, val: float | None, gate: float) -> dict[str, Any]:
        openings = {"layer3.foveate.se": gate}
        return {
            "epoch": 0,
            "train_loss": loss,
            "val_score": val,
            "lr": 0.1,
            "seconds": 2.0,
            "openings": openings,
        }

    one, other = epoch(1.0, 0.5, 0.2), epoch(3.0, 0.7, 0.4)
    (mean,) = mean_history([[one], [other, other]])
    assert mean == epoch(2.0, 0.6, pytest.approx(0.3)) | {"seconds": 4.0}
    assert mean_history([[one]]) == [one]
    losses = [[epoch(1, None, 0) | {"losses": {"a": part}}] for part in (1.0, 2.0)]
    assert mean_history(losses)[0]["losses"] == {"a": 1.5} and mean_history(losses)[0]["val_score"] is None
    assert mean_score([0.5, None]) is None and mean_score([0.25, 0.75]) == 0.5


def test_a_plan_counts_what_is_trained_on_and_not_what_it_is_taken_from():
    """A picture with five captions may be five training items."""
    feeds: Any = {"train": range(450), "val": range(10), "test": range(30)}
    assert counted(plan(), feeds, ()).items == {"train": 450, "val": 10, "test": 30}
    each: Any = [
        Training(fold, np.arange(40), lambda n=n: {"train": range(n)})
        for fold, n in enumerate((400, 380, 390))
    ]
    found = counted(folded(), feeds, each)
    assert found.trained_on == (400, 380, 390) and found.judged_on == 120
    assert found.runs[0].steps == 4 * (12 + 11 + 12)
