"""Every metric of every task judges a study: statistics of made-up answers, small studies of real ones."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from foveate.compare.assemble import Judgement
from foveate.compare.best import choose, kept_score
from foveate.compare.plan import StudyPlan
from foveate.compare.statistics.pseudo_values import item_scores
from foveate.compare.study import compare
from foveate.data.cached_split import CachedSplit
from foveate.errors import DataError, OptionError, ShapeError, StudyError
from foveate.recipe import TrainConfig
from foveate.tasks import tasks
from foveate.tasks.base import Task
from foveate.tasks.chance import chance_score
from foveate.tasks.metrics import label_metrics, metrics
from foveate.train.progress import Silent
from tests.compare.study_samples import plan, words

ITEMS, SEEDS = 30, 3
OVER = ("data", "image")
LABELS = [*(name for name in label_metrics if name != "top_k"), "top_2"]
MASKS = [
    f"{name}(over={over})" if over else name
    for name, cls in metrics.items()
    for over in (OVER if "over" in cls.__dataclass_fields__ else ("",))
]
ALL = [
    *(("classification", name, 4) for name in LABELS),
    *(("classification", name, 2) for name in ("auroc", "brier")),
    ("diagnosis", "auroc", 3),
    *(("segmentation", name, 2) for name in MASKS),
    ("segmentation", "dice(background=False, over=image)", 3),
]


def truths(task: Task, classes: int) -> np.ndarray:
    """Return what is true of the test items; one mask has no object, another one is not known at all."""
    rng = np.random.default_rng(0)
    if task.truth == "label":
        return rng.integers(0, classes, ITEMS)
    if task.truth == "labels":
        return rng.integers(0, 2, (ITEMS, classes))
    masks = rng.integers(0, classes, (ITEMS, 8, 8))
    masks[0], masks[1] = 0, 255
    return masks.astype(np.uint8)


def answered(task: Task, true: np.ndarray, classes: int, good: float, seed: int) -> np.ndarray:
    """Return the records of a model whose logits are as good as that."""
    targets = torch.from_numpy(true.astype(np.int64))
    if task.truth == "labels":
        hot = targets
    else:
        hot = torch.nn.functional.one_hot(targets.where(targets < classes, 0), classes).movedim(-1, 1)
    noise = torch.randn(hot.shape, generator=torch.Generator().manual_seed(seed))
    batch: Any = SimpleNamespace(images=torch.zeros(len(targets), 3, 8, 8), targets=targets)
    return task.record(good * (2 * hot - 1) + noise, batch).double().numpy()


def judged(name: str, metric: str, classes: int) -> tuple[Judgement, dict[str, np.ndarray]]:
    task = tasks[name]([f"c{k}" for k in range(classes)], metric=metric)
    true = truths(task, classes)
    targets = np.zeros(ITEMS, np.int64) if task.truth == "mask" else true
    split: Any = SimpleNamespace(targets=targets)
    kept = {
        variant: np.stack([answered(task, true, classes, good, 10 * s + n) for s in range(SEEDS)])
        for n, (variant, good) in enumerate([("baseline", 0.2), ("se@stage3", 1.5)])
    }
    materials: Any = SimpleNamespace(task=task, splits={"test": split})
    asked = plan(classes=task.classes, seeds=(0, 1, 2), margin=task.metric.margin)
    return Judgement(asked, materials, kept), kept


@pytest.mark.parametrize(("name", "metric", "classes"), ALL)
def test_the_statistics_take_it(name, metric, classes):
    found, kept = judged(name, metric, classes)
    for variant, runs in kept.items():
        assert found.scores[variant].shape == (SEEDS, ITEMS)
        values = [found.task.value(records) for records in runs]
        np.testing.assert_allclose(found.scores[variant].mean(axis=1), values, atol=1e-9)
        whole = found.of(next(v for v in found.plan.variants if v.name == variant))
        assert whole["score"]["mean"] == pytest.approx(found.metric.scale * np.mean(values))
        assert len(whole["per_class"]) == classes
        json.dumps(whole)
    assert found.verdicts["se@stage3"].name in ("helps", "helps enough"), found.verdicts["se@stage3"].words
    assert found.gains()["se@stage3"] > 0
    assert "nan" not in found.sentence + found.could_have_found


@pytest.mark.parametrize(("name", "metric", "classes"), [a for a in ALL if a[0] == "segmentation"])
def test_leaving_out_each_image_is_what_leaving_it_out_gives(name, metric, classes):
    task = tasks[name]([f"c{k}" for k in range(classes)], metric=metric)
    records = answered(task, truths(task, classes), classes, 0.5, 0)
    kept = [np.arange(ITEMS) != item for item in range(ITEMS)]
    np.testing.assert_allclose(
        task.value_without_each(records), [task.value(records[keep]) for keep in kept], atol=1e-12
    )
    np.testing.assert_allclose(
        task.by_class_without_each(records), [task.by_class(records[keep]) for keep in kept], atol=1e-12
    )


@pytest.mark.parametrize(("name", "metric", "classes"), ALL)
def test_chance_is_what_constant_answers_score(name, metric, classes):
    task = tasks[name]([f"c{k}" for k in range(classes)], metric=metric)
    true = truths(task, classes)
    masks = true if task.truth == "mask" else None
    targets = true if masks is None else np.zeros(ITEMS, np.int64)
    split = CachedSplit(np.zeros((ITEMS, 3, 8, 8), np.uint8), targets, tuple(map(str, range(ITEMS))), masks)
    found = chance_score(task, {"train": split, "test": split}, classes)
    assert math.isfinite(found)
    counts = np.bincount(targets, minlength=classes) if targets.ndim == 1 else targets.sum(axis=0)
    shares = counts / counts.sum()
    known = {
        "accuracy": shares.max(),
        "balanced_accuracy": 1 / classes,
        "auroc": 0.5,
        "log_loss": -(shares * np.log(np.maximum(shares, 1e-9))).sum(),
        "auroc_pixels": 0.5,
    }
    if (metric in known and task.truth != "mask") or metric == "auroc_pixels":
        assert found == pytest.approx(known[metric], abs=1e-6)


def test_an_item_that_all_rests_on_makes_the_interval_wide_and_not_a_crash():
    task = tasks["classification"](["a", "b"], metric="auroc")
    p = np.linspace(0.1, 0.9, 20)
    records = np.stack([p, np.arange(20) == 12], axis=1).astype(float)
    scores = item_scores(task, records)
    assert scores.mean() == pytest.approx(task.value(records))
    assert abs(scores[12]) > 5 and np.isfinite(scores).all()
    with pytest.raises(StudyError, match="is undefined on these 20 test items"):
        item_scores(task, np.stack([p, np.zeros(20)], axis=1))


def record(scores: list[float | None], test: float, **more: Any) -> dict[str, Any]:
    return {"history": [{"val_score": score} for score in scores], "score": test, **more}


def chosen(plan_: StudyPlan, records: list[dict[str, Any]], metric: str) -> int:
    metric_ = tasks["classification"](["a", "b"], metric=metric).metric
    found = {("baseline", seed): entry for seed, entry in enumerate(records)}
    return choose(plan_, {}, {}, found, metric_).seed


def test_the_best_seed_has_the_best_score_of_the_weights_that_were_kept():
    last = plan(seeds=(0, 1, 2))
    runs = [record([0.1, 0.5], 0), record([0.9, 0.4], 0), record([0.2, 0.6], 0)]
    assert chosen(last, runs, "accuracy") == 2 and chosen(last, runs, "log_loss") == 1
    best = plan(seeds=(0, 1, 2), train=TrainConfig(keep_best=True))
    assert chosen(best, runs, "accuracy") == 1 and chosen(best, runs, "brier") == 0
    told = [entry | {"val_score": score} for entry, score in zip(runs, (0.3, 0.1, 0.2), strict=True)]
    assert chosen(best, told, "accuracy") == 0 and chosen(best, told, "log_loss") == 1
    nan = [record([math.nan], 0, val_score=math.nan), record([0.2], 0.5), record([0.1], 1)]
    assert kept_score(nan[0], best.train, tasks["classification"]().metric) is None


def test_without_validation_images_it_has_the_median_test_score():
    runs = [record([None], score) for score in (0.3, 0.1, 0.2)]
    assert chosen(plan(seeds=(0, 1, 2)), runs, "accuracy") == 2
    two = [record([None], score) for score in (0.3, 0.1)]  # the worse one of two, which flatters nobody
    assert chosen(plan(seeds=(0, 1)), two, "accuracy") == 1
    assert chosen(plan(seeds=(0, 1)), two, "log_loss") == 0


def test_a_study_where_less_is_better(home: Path):
    found = compare(
        **words(
            data="scenes(train=48, val=16, test=24, classes=3, size=24)",
            metric="log_loss",
            epochs=2,
            control="none",
            train=TrainConfig(batch_size=16, keep_best=True),
            out=home / "less",
            progress=Silent(),
        )
    )
    question = found.result["question"]
    assert question["metric"]["name"] == "log loss" and question["margin"] == 0.01
    assert not question["metric"]["higher_is_better"]
    config = json.loads((found.folder / "best" / "config.json").read_text())
    variant = next(v for v in found.result["variants"] if v["name"] == config["variant"])
    kept = [min(e["val_score"] for e in curve["epochs"]) for curve in variant["curves"]]
    assert config["seed"] == int(np.argmin(kept)) and "best validation score" in config["chosen"]
    assert found.result["chance"] == pytest.approx(math.log(3), abs=0.1)
    confusion = variant["confusion"]
    assert np.sum(confusion["matrix"]) == 3 * 24 and len(confusion["by_class"]) == 3
    assert 'id="confusion"' in (found.folder / "report.html").read_text(encoding="utf-8")


def test_a_study_of_masks_judged_by_images_where_less_is_better(home: Path):
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (24, 24, 3), dtype=np.uint8) for _ in range(18)]
    pairs = [(picture, (picture[..., 0] > 127).astype(np.uint8)) for picture in pictures]
    found = compare(
        {"train": pairs[:12], "test": pairs[12:]},
        model="unet(encoder=resnet8)",
        variants=["se@stage3"],
        epochs=1,
        seeds=2,
        control="none",
        metric="mae",
        train=TrainConfig(batch_size=6),
        out=home / "mae",
        progress=Silent(),
    )
    assert found.verdicts == {"se@stage3": "no verdict"}
    assert found.result["variants"][1]["difference"]["low"] is not None


def test_what_no_metric_could_judge_is_told_before_training(home: Path, tmp_path: Path):
    masks = "scenes(masks=True, classes=3, train=12, val=0, test=6, size=24)"
    usual = {"variants": ["se@stage3"], "epochs": 1, "out": tmp_path / "study"}
    with pytest.raises(ShapeError, match="one object before its background"):
        compare(masks, model="unet(encoder=resnet8)", metric="mae", **usual)
    with pytest.raises(OptionError, match=r"keep_best.*no validation images"):
        compare(**words(train=TrainConfig(keep_best=True), out=tmp_path / "study"))
    with pytest.raises(ShapeError, match="pooling and a linear layer"):
        compare(**words(model="unet(encoder=resnet8)", out=tmp_path / "study"))
    with pytest.raises(OptionError, match="expected at least 3: the model is trained in stages"):
        compare(**words(model="ag_cnn(backbone=resnet18)", task="diagnosis", dry_run=True))
    with pytest.raises(OptionError, match=r'loss="ce\(label_smoothing'):
        compare(
            masks,
            model="unet(encoder=resnet8)",
            **usual | {"dry_run": True, "train": TrainConfig(batch_size=6, label_smoothing=0.1)},
        )
    assert not (tmp_path / "study").exists()


def test_a_metric_that_nothing_tells_is_told_before_training():
    task = tasks["diagnosis"](["a", "b"])
    task.check_metric(np.array([[1, 0], [0, 1]]))
    with pytest.raises(DataError, match="in all of them or in none"):
        task.check_metric(np.array([[1, 0], [1, 0]]))
