from __future__ import annotations

import numpy as np
import pytest

from foveate.compare.statistics.crossed_effects import components
from foveate.compare.statistics.pseudo_values import pseudo_values


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
    assert components(d).mean == pytest.approx(y.mean())


@pytest.mark.parametrize("groups", [0, 1, 41])
def test_impossible_groups_are_refused(groups: int):
    with pytest.raises(ValueError, match=f"got {groups} groups of 40 items"):
        pseudo_values(lambda keep: 0.0, 40, groups=groups)
