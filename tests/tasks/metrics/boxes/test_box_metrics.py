"""Average precision and recall against COCO's own evaluation, and against the formulas written as loops."""

import contextlib
import io

import numpy as np
import pytest

from foveate.data.boxes.boxes import Boxes
from foveate.errors import OptionError
from foveate.tasks.metrics.boxes import (
    AveragePrecision,
    Detected,
    Matches,
    average_recall,
    box_metrics,
    coco_figures,
    match_boxes,
    parse_box_metric,
    record_of,
)
from foveate.tasks.metrics.boxes.match_boxes import AREAS
from foveate.tasks.metrics.boxes.match_records import KEPT, width_of

CLASSES = 4


def drawn(seed, images=6, most=60):
    """Return true boxes and detections: moved true ones, some of a wrong class; crowds, equal scores."""
    rng = np.random.default_rng(seed)
    for _ in range(images):
        count = int(rng.integers(0, 10))
        corner, side = rng.integers(0, 300, (count, 2)), rng.integers(4, 160, (count, 2))
        true = Boxes.of(
            np.concatenate([corner, corner + side], axis=1),
            rng.integers(0, CLASSES - 1, count),  # the last class has no true box
            rng.random(count) < 0.2,
            side.prod(axis=1) * rng.uniform(0.4, 1, count),
        )
        given = int(rng.integers(0, most))
        if count:
            source = rng.integers(0, count, given)
            moved = np.round(true.boxes[source] + rng.normal(0, 6, (given, 4)))
            labels = np.where(rng.random(given) < 0.8, true.labels[source], rng.integers(0, CLASSES, given))
        else:
            moved, labels = rng.integers(0, 99, (given, 4)).astype(float), rng.integers(0, CLASSES, given)
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        yield true, Detected(moved, np.round(rng.random(given), 2), labels.astype(np.int64))


def matched(pairs):
    return Matches.joined([match_boxes(detected, true, CLASSES) for true, detected in pairs])


def own_figures(matches):
    return list(coco_figures(matches).values())


def as_xywh(box):
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def test_precision_and_recall_are_those_of_cocos_evaluation():
    coco = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    for seed, most in ((0, 60), (1, 30), (2, 400)):  # more than 100 of a class in an image
        pairs = list(drawn(seed, 4, most))
        notes = [
            {
                "image_id": image,
                "category_id": int(label),
                "bbox": as_xywh(box),
                "area": float(area),
                "iscrowd": int(crowd),
            }
            for image, (true, _) in enumerate(pairs)
            for box, label, area, crowd in zip(true.boxes, true.labels, true.area, true.crowd, strict=True)
        ]
        results = [
            {"image_id": image, "category_id": int(label), "bbox": as_xywh(box), "score": float(score)}
            for image, (_, found) in enumerate(pairs)
            for box, label, score in zip(found.boxes, found.labels, found.scores, strict=True)
        ]
        with contextlib.redirect_stdout(io.StringIO()):
            truth = coco.COCO()
            truth.dataset = {
                "images": [{"id": image} for image in range(len(pairs))],
                "categories": [{"id": label} for label in range(CLASSES)],
                "annotations": [note | {"id": n} for n, note in enumerate(notes, start=1)],
            }
            truth.createIndex()
            oracle = evaluation.COCOeval(truth, truth.loadRes(results), "bbox")
            oracle.evaluate()
            oracle.accumulate()
            oracle.summarize()
        matches = matched(pairs)
        assert own_figures(matches) == pytest.approx(oracle.stats.tolist(), abs=1e-9)
        by_class = oracle.eval["precision"][:, :, :, 0, 2].mean(axis=(0, 1))
        expected = np.where(by_class < 0, np.nan, by_class)
        np.testing.assert_allclose(AveragePrecision().by_class(matches), expected, atol=1e-9)


def naive_precision(pairs, label, threshold):
    """Average precision of a class without crowds, as the formula says it, box by box."""
    truths = [[tuple(b) for b, n in zip(t.boxes, t.labels, strict=True) if n == label] for t, _ in pairs]
    rows = [
        (-score, image, number)
        for image, (_, found) in enumerate(pairs)
        for number, score in enumerate(found.scores)
        if found.labels[number] == label
    ]
    taken, right, wrong, points = set(), 0, 0, []
    for _, image, number in sorted(rows):
        best, place = 0.0, None
        for n, true in enumerate(truths[image]):
            overlap = naive_overlap(pairs[image][1].boxes[number], true)
            if (image, n) not in taken and overlap >= threshold and overlap >= best:
                best, place = overlap, n
        right, wrong = right + (place is not None), wrong + (place is None)
        taken |= {(image, place)} if place is not None else set()
        points.append((right / sum(map(len, truths)), right / (right + wrong)))
    return sum(max((p for r, p in points if r >= k / 100), default=0.0) for k in range(101)) / 101


def naive_overlap(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union


def test_average_precision_is_the_formula_written_as_loops():
    pairs = [
        (Boxes.of(true.boxes, true.labels), Detected(found.boxes, np.arange(len(found)) / 999, found.labels))
        for true, found in drawn(7, images=5, most=40)
    ]
    for label in range(CLASSES - 1):
        expected = np.mean([naive_precision(pairs, label, t) for t in np.arange(50, 100, 5) / 100])
        assert AveragePrecision().by_class(matched(pairs))[label] == pytest.approx(expected, abs=1e-12)


def test_leaving_out_an_image_is_judging_the_others():
    pairs = list(drawn(3))
    matches, metric = matched(pairs), AveragePrecision()
    alone = [matched(pairs[:n] + pairs[n + 1 :]) for n in range(len(pairs))]
    assert metric.value_without_each(matches) == pytest.approx([metric.value(m) for m in alone], abs=1e-12)
    found = metric.by_class_without_each(matches)
    np.testing.assert_allclose(found, [metric.by_class(m) for m in alone], atol=1e-12)


def test_a_record_keeps_all_that_the_figures_need():
    pairs = [(true, found.best(KEPT)) for true, found in drawn(5)]
    parts = [match_boxes(found, true, CLASSES) for true, found in pairs]
    records = np.stack([record_of(part) for part in parts])
    assert records.shape == (len(pairs), width_of(CLASSES))
    assert own_figures(Matches.of_records(records)) == pytest.approx(own_figures(matched(pairs)), abs=1e-12)


def test_the_order_of_images_does_not_matter_where_no_scores_are_equal():
    pairs = [(t, Detected(f.boxes, f.scores + 1e-6 * n, f.labels)) for n, (t, f) in enumerate(drawn(6))]
    rng = np.random.default_rng(0)
    pairs = [(t, Detected(f.boxes, rng.random(len(f)), f.labels)) for t, f in pairs]
    turned = own_figures(matched(pairs[::-1]))
    assert turned == pytest.approx(own_figures(matched(pairs)), abs=1e-12)


def test_the_ends_of_the_range():
    true = Boxes.of([[0, 0, 10, 10], [20, 20, 40, 40]], [0, 1])
    exact = Detected(true.boxes, np.array([0.9, 0.2]), true.labels)
    nothing = Detected(np.zeros((0, 4)), np.zeros(0), np.zeros(0, dtype=np.int64))
    perfect = Matches.joined([match_boxes(exact, true, 2)])
    assert AveragePrecision().value(perfect) == pytest.approx(1.0)
    assert average_recall(perfect) == 1.0
    missed = Matches.joined([match_boxes(nothing, true, 2)])
    assert AveragePrecision().value(missed) == average_recall(missed) == 0.0
    empty = Matches.joined([match_boxes(exact, Boxes.of([], []), 2)])
    assert np.isnan(AveragePrecision().value(empty))
    assert np.isnan(average_recall(empty))


def test_a_metric_is_written_as_it_is_read():
    for name in box_metrics:
        for area in AREAS:
            metric = parse_box_metric(f"{name}(area={area})")
            assert parse_box_metric(str(metric)) == metric
            assert (area in metric.name) == (area != "all")
    with pytest.raises(OptionError, match="all, small, medium"):
        parse_box_metric("map(area=tiny)")
