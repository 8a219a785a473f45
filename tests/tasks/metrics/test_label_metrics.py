"""Metrics of one class an item: against scikit-learn, and against leaving each item out by hand."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn

from foveate import score
from foveate.errors import DataError, OptionError, ShapeError, UnknownNameError
from foveate.tasks import tasks
from foveate.tasks.metrics import label_metrics, parse_label_metric
from tests.each import each

NAMES = [*(name for name in label_metrics if name != "top_k"), "top_1", "top_2"]


@dataclass(frozen=True)
class Some:
    images: torch.Tensor
    targets: torch.Tensor


def drawn(seed: int, classes: int, items: int = 40, *, used: int | None = None, ties: bool = False):
    """Return logits (N, K) and targets (N,); with ``used`` only the first classes are true."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, used or classes, items)
    logits = rng.normal(size=(items, classes)) + np.eye(classes)[targets]
    return (logits.round() if ties else logits), targets


def records_of(name: str, logits: np.ndarray, targets: np.ndarray):
    task = tasks["classification"]([str(k) for k in range(logits.shape[1])], metric=name)
    batch = Some(torch.zeros(len(targets), 3, 2, 2), torch.from_numpy(targets))
    return task, task.record(torch.from_numpy(logits), batch).double().numpy()


def expected(name: str, p: np.ndarray, targets: np.ndarray) -> float:
    given, two = p.argmax(axis=1), p.shape[1] == 2
    every = np.arange(p.shape[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes that are given but never true
        return {
            "accuracy": lambda: sklearn.accuracy_score(targets, given),
            "balanced_accuracy": lambda: sklearn.balanced_accuracy_score(targets, given),
            "f1": lambda: sklearn.f1_score(targets, given, average="macro"),
            "auroc": lambda: (
                sklearn.roc_auc_score(targets, p[:, 1])
                if two
                else sklearn.roc_auc_score(targets, p, multi_class="ovr", average="macro")
            ),
            "log_loss": lambda: sklearn.log_loss(targets, p, labels=every),
            "brier": lambda: sklearn.brier_score_loss(targets, p[:, 1] if two else p, labels=every),
            "top_1": lambda: sklearn.accuracy_score(targets, given),
            "top_2": lambda: sklearn.top_k_accuracy_score(targets, p, k=2, labels=every),
        }[name]()


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("name", NAMES)
def test_value_is_scikit_learns(name, classes):
    if name == "top_2" and classes == 2:
        classes = 4
    logits, targets = drawn(len(name), classes)
    p = torch.from_numpy(logits).softmax(dim=1).numpy()
    task, records = records_of(name, logits, targets)
    assert task.value(records) == pytest.approx(expected(name, p, targets), rel=1e-9)
    assert score(name, p, targets) == pytest.approx(expected(name, p, targets), rel=1e-9)


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "f1"])
def test_classes_that_never_come_are_left_out_as_there(name):
    logits, targets = drawn(3, 6, used=3)
    task, records = records_of(name, logits, targets)
    p = torch.from_numpy(logits).softmax(dim=1).numpy()
    assert task.value(records) == pytest.approx(expected(name, p, targets))


@each(itertools.product(NAMES, (2, 4), (False, True)))
def test_leaving_out_each_item_is_what_leaving_it_out_gives(chosen):
    name, classes, ties = chosen
    classes = 3 if (name, classes) == ("top_2", 2) else classes
    logits, targets = drawn(7, classes, items=17, ties=ties)
    targets[0] = classes - 1
    targets[1:][targets[1:] == classes - 1] = 0  # one item is the only one of its class
    task, records = records_of(name, logits, targets)
    kept = [np.arange(len(records)) != item for item in range(len(records))]
    np.testing.assert_allclose(
        task.value_without_each(records), [task.value(records[keep]) for keep in kept], atol=1e-12
    )
    each = task.by_class_without_each(records)
    assert (each is None) == (task.by_class(records) is None)
    if each is not None:
        np.testing.assert_allclose(each, [task.by_class(records[keep]) for keep in kept], atol=1e-12)


@pytest.mark.parametrize("text", ["accuracy", "f1", "top_k(k=3)", "auroc"])
def test_what_is_printed_is_read_back(text):
    assert parse_label_metric(str(parse_label_metric(text))) == parse_label_metric(text)
    assert parse_label_metric("top_3") == parse_label_metric("top_k(k=3)")


def test_probabilities_of_nothing_cost_what_others_say_and_not_all():
    assert score("log_loss", [[1.0, 0.0], [0.0, 1.0]], [1, 1]) == pytest.approx(
        sklearn.log_loss([1, 1], [[1.0, 0.0], [0.0, 1.0]], labels=[0, 1])
    )


def test_labels_may_have_names():
    given, true = ["cat", "dog", "cat", "owl"], ["cat", "dog", "dog", "owl"]
    assert score("accuracy", given, true) == 0.75
    assert score("f1", given, true) == pytest.approx(sklearn.f1_score(true, given, average="macro"))
    assert score("balanced_accuracy", [0, 1, 1], [0, 1, 0]) == 0.75


def test_probabilities_of_one_of_two_classes_will_do():
    p, true = [0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]
    assert score("auroc", p, true) == 0.75 and score("accuracy", p, true) == 0.75
    assert score("brier", p, true) == pytest.approx(sklearn.brier_score_loss(true, p))


def test_several_findings_and_masks_have_scores_too():
    rng = np.random.default_rng(0)
    truths, p = rng.integers(0, 2, (30, 3)), rng.random((30, 3))
    assert score("auroc", p, truths) == pytest.approx(sklearn.roc_auc_score(truths, p, average="macro"))
    given, true = rng.integers(0, 3, (2, 8, 8)), rng.integers(0, 3, (2, 8, 8))
    assert score("miou", given, true) == pytest.approx(
        sklearn.jaccard_score(true.ravel(), given.ravel(), average="macro")
    )
    assert score("accuracy", given, true) == pytest.approx((given == true).mean())


def test_tensors_and_scores_that_nothing_tells():
    assert np.isnan(score("auroc", torch.tensor([[0.2, 0.8]]), torch.tensor([1])))
    assert score("accuracy", torch.tensor([[0.2, 0.8]]).bfloat16(), torch.tensor([1])) == 1


@pytest.mark.parametrize(
    ("name", "given", "true", "error", "text"),
    [
        ("acuracy", [0], [0], UnknownNameError, "Nearest: accuracy"),
        ("top_5", [[0.5, 0.5]], [0], OptionError, "smaller k"),
        ("accuracy", [0, 1], [0], ShapeError, "2 predictions and 1 truths"),
        ("accuracy", [], [], ShapeError, "expected one for each"),
        ("accuracy", None, [0], ShapeError, "got a single value"),
        ("log_loss", ["cat"], ["cat"], ShapeError, r"expected probabilities \(N, K\)"),
        ("log_loss", [[3.0, -1.0]], [0], ShapeError, "Apply the softmax"),
        ("accuracy", [[float("nan"), 0.5]], [0], DataError, "not a number"),
        ("accuracy", [[0.5, 0.5]], [2], DataError, "from 0 to 1"),
        ("accuracy", ["a"], [0], ShapeError, "names on one side"),
        ("accuracy", [[0.5, 0.5], [1.0]], [0, 1], ShapeError, "different lengths"),
        ("miou", [0, 1], [0, 1], ShapeError, r"masks \(N, H, W\)"),
    ],
)
def test_what_cannot_be_scored_is_told(name, given, true, error, text):
    with pytest.raises(error, match=text):
        score(name, given, true)


@pytest.mark.parametrize("name", ["auroc", "balanced_accuracy"])
def test_a_metric_that_says_nothing_is_told_before_training(name):
    task = tasks["classification"](["a", "b"], metric=name)
    task.check_metric(np.array([0, 1, 1]))
    if name == "auroc":
        with pytest.raises(DataError, match="auroc says nothing about these test images"):
            task.check_metric(np.array([1, 1, 1]))
