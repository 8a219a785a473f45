from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from foveate.compare.statistics.crossed_effects import components
from foveate.compare.statistics.pseudo_values import class_scores, item_scores, pseudo_values
from foveate.errors import StudyError


def spread(groups: int | None, averages: bool = False) -> Any:
    """Return a task whose metric is the variance of its records, and a class's that of its column."""
    return SimpleNamespace(
        metric=SimpleNamespace(name="spread", averages=averages, groups=groups),
        value=lambda records: float(records.var()) if len(records) else np.nan,
        by_class=lambda records: records.var(axis=0),
        by_class_without_each=lambda records: None,
        value_without_each=lambda records: np.array(
            [np.delete(records, i, axis=0).var() for i in range(len(records))]
        ),
    )


def test_of_a_mean_they_are_the_items_themselves():
    y = np.random.default_rng(0).random(30)
    assert pseudo_values(lambda keep: y[keep].mean(), 30) == pytest.approx(y)


def test_of_a_variance_their_mean_is_the_unbiased_one():
    y = np.random.default_rng(0).normal(size=25)
    assert pseudo_values(lambda keep: y[keep].var(), 25).mean() == pytest.approx(y.var(ddof=1))


def test_standard_error_of_auroc_equals_the_closed_form_of_delong():
    metrics = pytest.importorskip("sklearn.metrics")
    r = np.random.default_rng(1)
    truth = np.repeat([0, 1], 150)
    score = r.normal(size=300) + truth
    pseudo = pseudo_values(lambda keep: metrics.roc_auc_score(truth[keep], score[keep]), 300)
    wins = (score[150:, None] > score[None, :150]).astype(float)
    delong = wins.mean(axis=1).var(ddof=1) / 150 + wins.mean(axis=0).var(ddof=1) / 150
    assert pseudo.std(ddof=1) / np.sqrt(300) == pytest.approx(np.sqrt(delong), rel=0.03)


def test_they_enter_the_crossed_model_by_group():
    y = np.random.default_rng(2).random((3, 40))
    d = np.array([pseudo_values(lambda keep, row=row: row[keep].mean(), 40, groups=10) for row in y])
    assert d.shape == (3, 10)
    assert d[0] == pytest.approx(y[0].reshape(4, 10).mean(axis=0))  # item i belongs to group i mod 10
    assert components(d).mean == pytest.approx(y.mean())


@pytest.mark.parametrize(("groups", "count"), [(None, 21), (5, 5), (21, 21), (50, 21)])
def test_a_metric_with_groups_has_one_score_a_group_and_their_mean_is_the_metric(groups, count):
    records = np.random.default_rng(3).normal(size=(21, 2))
    task = spread(groups)
    scores, each = item_scores(task, records), class_scores(task, records)
    assert scores.shape == (count,) and each.shape == (count, 2)
    assert scores.mean() == pytest.approx(records.var())
    np.testing.assert_allclose(each.mean(axis=0), records.var(axis=0))
    left = [np.arange(21) % count != group for group in range(count)]
    raw = count * records.var() - (count - 1) * np.array([records[keep].var() for keep in left])
    np.testing.assert_allclose(scores, raw - raw.mean() + records.var())


def test_an_average_in_groups_is_the_mean_of_each_group():
    y = np.random.default_rng(4).random(20)
    task = spread(4, averages=True)
    task.value = lambda records: float(records.mean())
    assert item_scores(task, y) == pytest.approx(y.reshape(5, 4).mean(axis=0))


def test_a_metric_that_is_undefined_on_all_items_is_an_error():
    with pytest.raises(StudyError, match="spread is undefined on these 0 test items"):
        item_scores(spread(None), np.empty((0, 2)))


@pytest.mark.parametrize("groups", [0, 1, 41])
def test_impossible_groups_are_refused(groups: int):
    with pytest.raises(ValueError, match=f"got {groups} groups of 40 items"):
        pseudo_values(lambda keep: 0.0, 40, groups=groups)
