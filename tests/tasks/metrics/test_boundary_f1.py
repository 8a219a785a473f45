"""Edges and their F1 against distances between all pairs of pixels."""

import math

import numpy as np
import pytest
import torch

from foveate.tasks.metrics import BoundaryF1

DRAW = torch.Generator().manual_seed(5)


def blobs(items, size, classes=3):
    coarse = torch.rand(items, classes, *(s // 3 + 1 for s in size), generator=DRAW)
    mode = "bilinear" if len(size) == 2 else "trilinear"
    return torch.nn.functional.interpolate(coarse, size=size, mode=mode).argmax(dim=1)


def as_probabilities(labels, classes=4):
    return torch.nn.functional.one_hot(labels, classes).movedim(-1, 1).float()


def edges(labels, known, c):
    """Return the places of the class's edge pixels."""
    found = []
    for place in np.ndindex(*labels.shape):
        beside = [
            (*place[:axis], place[axis] + step, *place[axis + 1 :])
            for axis in range(labels.ndim)
            for step in (-1, 1)
            if 0 <= place[axis] + step < labels.shape[axis]
        ]
        if labels[place] == c and known[place] and any(known[b] and labels[b] != c for b in beside):
            found.append(place)
    return found


def written_out(labels, targets, tolerance, classes=4):
    """Return (near, given, near, true) of each class of one image."""
    known = targets != 255
    counts = np.zeros((4, classes), dtype=int)
    for c in range(classes):
        given, true = edges(labels, known, c), edges(targets, known, c)
        for row, (some, others) in zip((0, 2), ((given, true), (true, given)), strict=True):
            counts[row, c] = sum(any(math.dist(a, b) <= tolerance for b in others) for a in some)
            counts[row + 1, c] = len(some)
    return counts


@pytest.mark.parametrize("size", [(11, 13), (5, 6, 7), (1, 9)])
@pytest.mark.parametrize("tolerance", [0, 1, 1.5, 2, 4.3])
def test_counts_are_those_of_all_pairs(size, tolerance):
    labels, targets = blobs(2, size), blobs(2, size)
    targets[:, ..., 2:4] = 255
    found = BoundaryF1(tolerance=tolerance, over="data").count(as_probabilities(labels), targets)
    for item in range(2):
        expected = written_out(labels[item].numpy(), targets[item].numpy(), tolerance)
        assert np.array_equal(found[item], expected)


def test_value_is_the_mean_over_images_of_their_classes():
    labels, targets = blobs(3, (12, 12)), blobs(3, (12, 12))
    labels[2], targets[2] = 1, 1  # without any edge: no score
    scores, f1 = [], {c: [] for c in range(4)}
    for a, b in zip(labels[:2].numpy(), targets[:2].numpy(), strict=True):
        here = []
        for c, (near, given, hit, true) in enumerate(written_out(a, b, 1.5).T):
            if given + true:
                p, r = near / given if given else 0, hit / true if true else 0
                here.append(2 * p * r / (p + r) if p + r else 0)
                f1[c].append(here[-1])
        scores.append(np.mean(here))
    metric = BoundaryF1(tolerance=1.5)
    counts = metric.count(as_probabilities(labels), targets)
    assert metric.item_scores(counts)[2].isnan()
    assert metric.value(counts.sum(dim=0)) == pytest.approx(np.mean(scores))
    expected = [np.mean(each) if each else math.nan for each in f1.values()]
    np.testing.assert_allclose(metric.per_class(counts.sum(dim=0)), expected)


def test_the_usual_tolerance_follows_the_diagonal():
    targets = torch.zeros(1, 240, 320, dtype=torch.long)  # the diagonal is 400, the tolerance 3
    targets[:, :, 100:] = 1
    for shift, score in ((3, 1.0), (4, 0.0)):
        labels = torch.zeros_like(targets)
        labels[:, :, 100 + shift :] = 1
        metric = BoundaryF1()
        assert metric.value(metric.count(as_probabilities(labels, 2), targets).sum(dim=0)) == score


def test_the_border_of_what_is_known_is_no_edge():
    targets = torch.zeros(1, 6, 6, dtype=torch.long)
    targets[:, 3:] = 255
    labels = torch.ones_like(targets)
    labels[:, 3:] = 0
    assert not BoundaryF1(over="data").count(as_probabilities(labels, 2), targets).any()


def test_an_edge_on_one_side_alone_scores_0():
    targets = torch.zeros(1, 6, 6, dtype=torch.long)
    labels = targets.clone()
    labels[:, 3:] = 1
    metric = BoundaryF1()
    assert metric.value(metric.count(as_probabilities(labels, 2), targets).sum(dim=0)) == 0
