"""Metrics of pictures against the values of public implementations, and against closed forms."""

from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import sqrtm

import foveate as fv
from foveate.tasks.metrics.pictures import parse_picture_metric, picture_metrics
from foveate.tasks.metrics.pictures.fid import frechet_distance
from foveate.tasks.metrics.pictures.kid import kid, mmd2
from foveate.tasks.metrics.pictures.nearest_training import nearest
from foveate.tasks.metrics.pictures.picture_metric import Drawn
from foveate.tasks.metrics.pictures.precision_recall import covered

with np.load(Path(__file__).with_name("generation_metrics.npz")) as stored:
    PUBLIC = {name: np.array(stored[name], dtype=np.float64) for name in stored.files}
REAL, DRAWN = PUBLIC["in/real"], PUBLIC["in/generated"]


def test_they_equal_the_public_implementations():
    assert frechet_distance(REAL, DRAWN) == pytest.approx(PUBLIC["out/fid"], abs=1e-9)
    assert mmd2(REAL, DRAWN) == pytest.approx(PUBLIC["out/mmd2_unbiased"], abs=1e-9)
    found = kid(REAL, DRAWN, subsets=20, size=40)
    assert found == pytest.approx((float(PUBLIC["out/kid_mean"]), float(PUBLIC["out/kid_std"])), abs=1e-9)
    for k in (1, 3, 5):  # stored in float32
        assert covered(REAL, DRAWN, k) == pytest.approx(PUBLIC[f"out/precision_{k}"], abs=1e-6)
        assert covered(DRAWN, REAL, k) == pytest.approx(PUBLIC[f"out/recall_{k}"], abs=1e-6)


def test_they_are_scores_by_name():
    assert fv.score("fid", DRAWN, REAL) == pytest.approx(PUBLIC["out/fid"], abs=1e-9)
    assert fv.score("kid", DRAWN, REAL) == pytest.approx(PUBLIC["out/mmd2_unbiased"], abs=1e-9)
    assert fv.score("precision(neighbours=5)", DRAWN, REAL) == pytest.approx(
        PUBLIC["out/precision_5"], abs=1e-6
    )
    assert fv.score("recall", DRAWN, REAL) == pytest.approx(PUBLIC["out/recall_3"], abs=1e-6)
    with pytest.raises(fv.FoveateError, match=r"expected \(N, D\) and \(M, D\)"):
        fv.score("fid", DRAWN[:, :3], REAL)
    with pytest.raises(fv.FoveateError, match="does not follow from features alone"):
        fv.score("class_accuracy", DRAWN, REAL)


def normal(count, seed=0, width=5):
    return np.random.default_rng(seed).normal(size=(count, width))


def exactly(points, mean, deviation):
    """Return points with exactly this mean and, times the identity, this covariance."""
    centred = points - points.mean(0)
    root = np.linalg.inv(np.linalg.cholesky(np.cov(centred.T)))
    return centred @ root.T * deviation + mean


def test_frechet_distances_in_closed_form():
    points = normal(200)
    unit, moved = exactly(points, 0.0, 1.0), exactly(points[::-1], 2.0, 3.0)
    assert frechet_distance(unit, moved) == pytest.approx(5 * 2.0**2 + 5 * (1 - 3.0) ** 2, abs=1e-9)
    assert frechet_distance(points, points[::-1]) == pytest.approx(0, abs=1e-6 * 5)
    one, other = normal(60, 1) @ np.diag([1, 2, 3, 4, 5.0]), normal(70, 2)
    s1, s2 = np.cov(one.T), np.cov(other.T)
    gap = one.mean(0) - other.mean(0)
    wanted = gap @ gap + np.trace(s1 + s2 - 2 * sqrtm(s1 @ s2).real)
    assert frechet_distance(one, other) == pytest.approx(wanted, rel=1e-9)


def test_the_kernel_distance_by_loops_and_its_unbiasedness():
    x, y = normal(7, 1), normal(7, 2)

    def k(a, b):
        return (sum(a[i] * b[i] for i in range(5)) / 5 + 1) ** 3

    pairs = [(i, j) for i in range(7) for j in range(7)]
    wanted = sum(k(x[i], x[j]) + k(y[i], y[j]) for i, j in pairs if i != j) / 42
    wanted -= 2 * sum(k(x[i], y[j]) for i, j in pairs) / 49
    assert mmd2(x, y) == pytest.approx(wanted, abs=1e-12)
    halves = [mmd2(normal(60, 2 * n), normal(60, 2 * n + 1)) for n in range(100)]
    assert abs(np.mean(halves)) < 3 * np.std(halves) / 10
    assert min(halves) < 0 < max(halves)


def test_coverage_by_loops():
    real, drawn = normal(20, 1), normal(25, 2) * 1.5
    distance = lambda a, b: np.sqrt(((a - b) ** 2).sum())  # noqa: E731
    reach = [sorted(distance(a, b) for b in real)[3] for a in real]
    inside = [any(distance(p, a) <= r for a, r in zip(real, reach, strict=True)) for p in drawn]
    assert covered(real, drawn) == np.mean(inside)
    assert covered(real, real) == 1
    assert covered(real, real + 100) == 0


def kept(count=40, **changed):
    real, drawn = normal(count, 1), normal(count, 2)
    right = np.arange(count) % 4 > 0
    parts = {
        "real": real,
        "drawn": drawn,
        "right": right.astype(float),
        "right_real": np.ones(count),
        "near": nearest(drawn, real),
        "near_real": np.full(count, 2.0),
        "apart": np.linspace(0, 39, count)[:, None],
        "apart_real": np.zeros((count, 1)),
    }
    return Drawn(**{**parts, **changed})


def test_records_hold_all_that_metrics_need():
    before = kept()
    after = Drawn.unpacked(before.packed(), 1)
    for name, value in vars(before).items():
        assert np.array_equal(getattr(after, name), value), name
    for name in picture_metrics:
        metric = parse_picture_metric(name)
        assert metric.value(after) == metric.value(before)
        assert parse_picture_metric(str(metric)) == metric


def test_accuracies_count_what_is_right():
    assert parse_picture_metric("class_accuracy").value(kept()) == 0.75
    assert parse_picture_metric("pose_accuracy").value(kept()) == 16 / 40  # 0 to 15 degrees
    assert parse_picture_metric("pose_accuracy(within=1)").value(kept()) == 2 / 40
    assert np.isnan(parse_picture_metric("pose_accuracy").value(kept(apart=np.zeros((40, 0)))))


def test_copies_of_training_pictures_are_found():
    metric, training = parse_picture_metric("nearest_training"), normal(50, 5)
    copies = kept(near=nearest(training[:40], training))
    assert metric.value(copies) == 0
    new = nearest(normal(40, 6), training)
    assert metric.value(kept(near=new, near_real=new)) == 1


def test_their_direction_and_bad_options():
    assert not parse_picture_metric("kid").better(2.0, than=1.0)
    assert parse_picture_metric("recall").better(0.9, than=0.8)
    with pytest.raises(fv.FoveateError, match="neighbours"):
        parse_picture_metric("precision(neighbours=0)")
    with pytest.raises(fv.FoveateError, match="at least 4 pictures"):
        covered(normal(3), normal(9))
