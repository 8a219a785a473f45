"""Every metric judges a study: made-up answers up to the report, small studies of real ones."""

from __future__ import annotations

import html
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from foveate.compare.assemble import assemble
from foveate.compare.best import choose, validation_score
from foveate.compare.plan import StudyPlan
from foveate.compare.report import write_report
from foveate.compare.run_files import ANSWERS, keep_answers, run_folder
from foveate.compare.statistics.pseudo_values import item_scores
from foveate.compare.statistics.verdict import HELPS
from foveate.compare.study import compare
from foveate.compare.trainings import Training
from foveate.data.cached_split import CachedSplit
from foveate.data.image_feed import ImageFeed
from foveate.data.palette import default_palette
from foveate.data.words.word_vocabulary import WordVocabulary
from foveate.errors import DataError, OptionError, ShapeError, StudyError
from foveate.recipe import TrainConfig
from foveate.tasks import tasks
from foveate.tasks.caption import Caption
from foveate.tasks.image_task import ImageTask
from foveate.tasks.metrics import label_metrics, metrics
from foveate.tasks.metrics.text.text_metric import text_metrics
from tests.compare.study_samples import INPUTS, plan, words

ITEMS, SEEDS = 30, 3
OWN = [name for name, task in tasks.items() if issubclass(task, ImageTask)]
CLASSES = {"classification": 4, "diagnosis": 3, "segmentation": 2}  # some metrics are of one object alone
VALIDATED = (0.5, 0.9, 0.2)  # of each seed
WORDS = "a the dog cat man runs walks red small beach on in with street jumps over water ball".split()


def spelled(name: str) -> list[str]:
    """Return the ways to ask for a metric: one that is over all pixels or over images comes twice."""
    if "over" in getattr(metrics.get(name), "__dataclass_fields__", ()):
        return [f"{name}(over=data)", f"{name}(over=image)"]
    return ["top_2"] if name == "top_k" else [name]


ALL = [
    *((n, text, CLASSES[n]) for n in OWN for metric in tasks[n].metric_names() for text in spelled(metric)),
    *(("classification", name, 2) for name in ("auroc", "brier")),
    ("diagnosis", "auroc(specificity=0.95)", 2),
    ("segmentation", "dice(background=False, over=image)", 3),
]


def test_no_metric_is_left_out():
    assert set(OWN) == set(CLASSES), "Say above how many classes the items that are made up here have."
    assert len(ALL) >= len(label_metrics) + len(metrics) + 1


def asked(name: str, metric: str, classes: int) -> ImageTask:
    made = tasks[name].of(
        INPUTS | {"classes": [f"c{k}" for k in range(classes)], "size": [8, 8]}, metric=metric
    )
    assert isinstance(made, ImageTask)
    return made


def truths(task: ImageTask) -> np.ndarray:
    """Return what is true of the test items; one mask has no object, another one is not known at all."""
    rng, classes = np.random.default_rng(0), len(task.classes)
    if task.truths[0] == "label":
        return rng.integers(0, classes, ITEMS)
    if task.truths[0] == "labels":
        return rng.integers(0, 2, (ITEMS, classes))
    masks = rng.integers(0, classes, (ITEMS, 8, 8))
    masks[0], masks[1] = 0, 255
    return masks.astype(np.uint8)


def logits(task: ImageTask, true: np.ndarray, good: float, seed: int) -> Tensor:
    """Return the logits of a model that is as good as that."""
    targets, classes = torch.from_numpy(true.astype(np.int64)), len(task.classes)
    if task.truths[0] == "labels":
        hot = targets
    else:
        hot = nn.functional.one_hot(targets.where(targets < classes, 0), classes).movedim(-1, 1)
    return good * (2 * hot - 1) + torch.randn(hot.shape, generator=torch.Generator().manual_seed(seed))


def recorded(task: ImageTask, true: np.ndarray, outputs: Tensor) -> np.ndarray:
    targets = torch.from_numpy(true.astype(np.int64))
    batch: Any = SimpleNamespace(images=torch.zeros(len(targets), 3, 8, 8), targets=targets)
    return task.record(outputs, batch).double().numpy()


def network(task: ImageTask) -> nn.Module:
    maps = nn.Conv2d(3, len(task.classes), 1)
    return maps if task.truths[0] == "mask" else nn.Sequential(maps, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def feed_of(task: ImageTask, true: np.ndarray) -> ImageFeed:
    masked = task.truths[0] == "mask"
    images = np.random.default_rng(0).integers(0, 256, (ITEMS, 3, 8, 8), dtype=np.uint8)
    targets = np.zeros(ITEMS, np.int64) if masked else true
    split = CachedSplit(images, targets, tuple(map(str, range(ITEMS))), true if masked else None)
    return ImageFeed(split, palette=default_palette(len(task.classes)))


def run(task: ImageTask, folder: Path, true: np.ndarray, variant: str, good: float, seed: int) -> Any:
    """Leave what a run leaves, and return its record."""
    outputs = logits(task, true, good, 10 * seed + (variant != "baseline"))
    records = recorded(task, true, outputs)
    path = run_folder(folder, variant, seed) / ANSWERS
    path.parent.mkdir(parents=True)
    keep_answers(path, records, task.answer(outputs).numpy())
    epoch = {
        "epoch": 0,
        "train_loss": 1.0,
        "val_score": VALIDATED[seed],
        "lr": 0.1,
        "seconds": 1.0,
        "openings": {},
    }
    took = {"seconds": 1.0, "images_per_second": 1.0, "steps": 1, "images": ITEMS}
    return {"score": task.value(records), "val_score": VALIDATED[seed], "history": [epoch], **took}


@pytest.mark.parametrize(("name", "metric", "classes"), ALL)
def test_it_judges_a_study(name, metric, classes, tmp_path: Path, brief: None):
    task = asked(name, metric, classes)
    true, goodness = truths(task), {"baseline": 0.2, "se@stage3": 1.5}
    made = plan(task=name, metric=metric, inputs=task.inputs, seeds=range(SEEDS), margin=task.metric.margin)
    records = {
        (variant, seed): run(task, tmp_path, true, variant, good, seed)
        for variant, good in goodness.items()
        for seed in range(SEEDS)
    }
    models = {variant: network(task) for variant in goodness}
    feeds = {"train": feed_of(task, true), "test": feed_of(task, true)}
    training = Training(None, np.arange(ITEMS), lambda: feeds)
    found = assemble(made, task, feeds, records, models, tmp_path, [], training)
    base, se = found["variants"]
    for variant in (base, se):
        values = [task.metric.scale * records[variant["name"], seed]["score"] for seed in range(SEEDS)]
        np.testing.assert_allclose(variant["score"]["per_seed"], values, rtol=1e-9, atol=1e-9)
        assert variant["score"]["mean"] == pytest.approx(np.mean(values))
        assert len(variant["per_class"]) == classes
    assert se["verdict"] in HELPS, se["words"]
    assert task.metric.better(se["score"]["mean"], than=base["score"]["mean"])
    assert found["best"]["variant"] == "se@stage3"
    assert found["best"]["seed"] == (1 if task.metric.higher_is_better else 2)
    assert "nan" not in found["sentence"] + found["could_have_found"]
    expect_chance(found["chance"] / task.metric.scale, metric, true)
    page = write_report(found, tmp_path).read_text(encoding="utf-8")
    assert html.escape(task.metric.name) in page
    assert json.loads((tmp_path / "study.json").read_text())["best"] == found["best"]


def expect_chance(found: float, metric: str, true: np.ndarray) -> None:
    """Expect what an answer scores that is the same for all items: how frequent each class is."""
    assert math.isfinite(found)
    if metric.startswith("auroc"):
        assert found == pytest.approx(0.5, abs=1e-6)
    if true.dtype == np.int64 and true.ndim == 1:
        shares = np.bincount(true) / len(true)
        known = {
            "accuracy": shares.max(),
            "balanced_accuracy": 1 / len(shares),
            "log_loss": -(shares * np.log(shares)).sum(),
        }
        assert found == pytest.approx(known.get(metric, found), abs=1e-6)


@pytest.mark.parametrize(("name", "metric", "classes"), [a for a in ALL if a[0] == "segmentation"])
def test_leaving_out_each_image_is_what_leaving_it_out_gives(name, metric, classes):
    task = asked(name, metric, classes)
    records = recorded(task, truths(task), logits(task, truths(task), 0.5, 0))
    kept = [np.arange(ITEMS) != item for item in range(ITEMS)]
    np.testing.assert_allclose(
        task.value_without_each(records), [task.value(records[keep]) for keep in kept], atol=1e-12
    )
    np.testing.assert_allclose(
        task.by_class_without_each(records), [task.by_class(records[keep]) for keep in kept], atol=1e-12
    )


@pytest.mark.parametrize("metric", list(text_metrics))
def test_every_metric_of_text_gives_each_item_a_score(metric):
    """Pseudo-values of nearly right answers: their mean is the metric, and the worst answer has the least."""
    vocabulary = WordVocabulary(("a", "b")).plain()
    task = Caption.of({"target": vocabulary, "search": {}}, metric=metric)
    rng = np.random.default_rng(0)
    references = [[" ".join(rng.choice(WORDS, 8)) for _ in range(2)] for _ in range(ITEMS)]
    answers = [first for first, _ in references]
    answers[7] = "something else altogether"
    measures = (task.metric, *task.told)
    counted = [measure.prepare(references).records(answers) for measure in measures]
    records = np.concatenate(counted, axis=1)
    scores = item_scores(task, records)
    assert scores.mean() == pytest.approx(task.value(records))
    assert np.isfinite(scores).all() and scores.argmin() == 7


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
    return choose(plan_, "baseline", found, metric_).seed


def test_the_best_seed_has_the_best_score_of_the_weights_that_were_kept():
    last = plan(seeds=(0, 1, 2))
    runs = [record([0.1, 0.5], 0), record([0.9, 0.4], 0), record([0.2, 0.6], 0)]
    assert chosen(last, runs, "accuracy") == 2 and chosen(last, runs, "log_loss") == 1
    best = plan(seeds=(0, 1, 2), train=TrainConfig(keep_best=True))
    assert chosen(best, runs, "accuracy") == 1 and chosen(best, runs, "brier") == 0
    told = [entry | {"val_score": score} for entry, score in zip(runs, (0.3, 0.1, 0.2), strict=True)]
    assert chosen(best, told, "accuracy") == 0 and chosen(best, told, "log_loss") == 1
    nan = [record([math.nan], 0, val_score=math.nan), record([0.2], 0.5), record([0.1], 1)]
    assert validation_score(nan[0], best.train, tasks["classification"]().metric) is None


def test_without_validation_images_it_has_the_median_test_score():
    runs = [record([None], score) for score in (0.3, 0.1, 0.2)]
    assert chosen(plan(seeds=(0, 1, 2)), runs, "accuracy") == 2
    two = [record([None], score) for score in (0.3, 0.1)]  # the worse one of two, which flatters nobody
    assert chosen(plan(seeds=(0, 1)), two, "accuracy") == 1
    assert chosen(plan(seeds=(0, 1)), two, "log_loss") == 0


@pytest.mark.parametrize("name", [name for name, metric in label_metrics.items() if not metric.judges])
def test_raw_confidence_judges_no_study(name: str):
    with pytest.raises(StudyError, match=r"merely surer of itself.*such as accuracy"):
        compare(**words(metric=name, dry_run=True))


def test_the_usual_metric_is_the_same_study_stated_or_not():
    assert compare(**words(metric="accuracy", dry_run=True)).metric is None
    assert compare(**words(metric="balanced_accuracy", dry_run=True)).metric == "balanced_accuracy"


def test_a_model_that_is_merely_surer_of_itself_is_no_better_by_any_metric_that_judges():
    """Logits times 1.5 leave every prediction and every rank of two classes as they are."""
    logits = torch.randn(200, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    targets = (logits[:, 1] + torch.randn(200, generator=torch.Generator().manual_seed(1)) > 0).long()
    for name, kind in label_metrics.items():
        metric = kind(k=1) if name == "top_k" else kind()
        plain, sharp = (
            metric.value(metric.record((scale * logits).log_softmax(1), targets).double().numpy(), 2)
            for scale in (1.0, 1.5)
        )
        assert (plain == sharp) == metric.judges, name


@pytest.mark.slow
def test_what_no_metric_could_judge_is_told_before_training(home: Path, tmp_path: Path):
    masks = "scenes(masks=True, classes=3, train=12, val=0, test=6, size=24)"
    usual = {"variants": ["se@stage3"], "epochs": 1, "out": tmp_path / "study"}
    with pytest.raises(ShapeError, match="for one object and its background"):
        compare(masks, model="unet(encoder=resnet8)", metric="mae", **usual)
    with pytest.raises(OptionError, match=r"keep_best.*no validation split"):
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
