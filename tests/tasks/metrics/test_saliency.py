"""Scores of one object against plain loops."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from foveate.tasks.metrics import PixelAUROC, parse_metric

DRAW = torch.Generator().manual_seed(7)
P = torch.rand(4, 1, 9, 11, generator=DRAW, dtype=torch.float64) ** 2
TARGETS = (P[:, 0] + 0.5 * torch.rand(4, 9, 11, generator=DRAW, dtype=torch.float64) > 0.7).long()
TARGETS[:, :, 0] = 255
TARGETS[3] = TARGETS[3].where(TARGETS[3] == 255, 0)  # an image without the object


def images():
    for p, truth in zip(P[:, 0].numpy(), TARGETS.numpy(), strict=True):
        yield p[truth != 255], truth[truth != 255] == 1


def value(text):
    metric = parse_metric(text)
    return metric.value(metric.count(P, TARGETS).sum(dim=0))


def f(precision, recall, beta2=0.3):
    below = beta2 * precision + recall
    return (1 + beta2) * precision * recall / below if below else 0.0


def rates(p, y, threshold):
    given = p >= threshold
    right = (given & y).sum()
    return right / given.sum() if given.any() else 0.0, right / y.sum() if y.any() else 0.0


def test_mae():
    assert value("mae") == pytest.approx(np.mean([abs(p - y).mean() for p, y in images()]))
    pooled = np.concatenate([abs(p - y) for p, y in images()])
    assert value("mae(over=data)") == pytest.approx(pooled.mean())


@pytest.mark.parametrize("beta2", [0.3, 1])
def test_max_f_of_mean_curves_and_of_all_pixels(beta2):
    levels = [(np.floor(p * 255), y) for p, y in images()]
    mean, pooled = [], []
    together = np.concatenate([p for p, _ in levels]), np.concatenate([y for _, y in levels])
    for t in range(256):
        curves = np.mean([rates(p, y, t) for p, y in levels], axis=0)
        mean.append(f(*curves, beta2))
        pooled.append(f(*rates(*together, t), beta2))
    assert value(f"max_f(beta2={beta2})") == pytest.approx(max(mean))
    assert value(f"max_f(beta2={beta2}, over=data)") == pytest.approx(max(pooled))
    assert max(mean) != pytest.approx(max(pooled), abs=1e-3)


def test_max_f_has_one_threshold_for_all_images():
    """Images that are right at different thresholds: each alone is perfect, together they are not."""
    p = torch.tensor([[[[0.9, 0.8]]], [[[0.3, 0.2]]]])
    metric = parse_metric("max_f")
    counts = metric.count(p, torch.tensor([[[1, 0]], [[1, 0]]]))
    assert metric.item_scores(counts).tolist() == [1, 1]
    assert metric.value(counts.sum(dim=0)) < 0.9


def test_adaptive_f():
    each = [f(*rates(p, y, min(1, 2 * p.mean()))) for p, y in images()]
    assert value("adaptive_f") == pytest.approx(np.mean(each))
    given = np.concatenate([p >= min(1, 2 * p.mean()) for p, _ in images()])
    together = np.concatenate([y for _, y in images()])
    assert value("adaptive_f(over=data)") == pytest.approx(f(*rates(given.astype(float), together, 1)))


def test_stretched_maps_go_from_0_to_1():
    expected = np.mean([abs((p - p.min()) / (p.max() - p.min()) - y).mean() for p, y in images()])
    assert value("mae(stretched=True)") == pytest.approx(expected)
    metric = parse_metric("mae(stretched=True)")
    flat = metric.count(torch.full((1, 1, 2, 2), 0.25), torch.zeros(1, 2, 2, dtype=torch.long))
    assert metric.value(flat[0]) == 0.25


@pytest.mark.parametrize("bins", [1000, 20])
def test_auroc_is_sklearns_but_for_pairs_within_a_bin(bins):
    p, y = np.concatenate([p for p, _ in images()]), np.concatenate([y for _, y in images()])
    metric = PixelAUROC(bins=bins)
    counts = metric.count(P, TARGETS)
    tied = np.floor(p * bins) / bins
    assert metric.value(counts.sum(dim=0)) == pytest.approx(roc_auc_score(y, tied))
    background, found = counts.sum(dim=0).double()
    within = float((background * found).sum() / background.sum() / found.sum() / 2)
    assert (
        abs(metric.value(counts.sum(dim=0)) - roc_auc_score(y, p))
        <= within
        < (0.002 if bins == 1000 else 0.1)
    )


def test_auroc_of_an_image_without_the_object_is_no_number():
    assert PixelAUROC().item_scores(PixelAUROC().count(P, TARGETS)).isnan().tolist() == [False] * 3 + [True]
