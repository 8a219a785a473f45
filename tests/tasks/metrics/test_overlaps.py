"""Overlaps of labels against torchmetrics and plain counts."""

import numpy as np
import pytest
import torch
from torchmetrics.functional import classification as tm
from torchmetrics.functional.segmentation import dice_score

from foveate.tasks.metrics import confusion, parse_metric

CLASSES = 5
DRAW = torch.Generator().manual_seed(3)
TARGETS = torch.randint(0, 3, (4, 8, 9), generator=DRAW)  # class 3 is given and never true, class 4 neither
TARGETS[0, :3] = 255
TARGETS[1] = 2
LABELS = torch.where(torch.rand(TARGETS.shape, generator=DRAW) < 0.5, TARGETS, 1).clamp(max=3)
LABELS[2, 0] = 3
P = torch.nn.functional.one_hot(LABELS, CLASSES).movedim(-1, 1).float()


def summed(text):
    metric = parse_metric(text)
    return metric, metric.count(P, TARGETS).sum(dim=0)


def test_confusion_is_what_is_counted():
    expected = np.zeros((4, CLASSES, CLASSES), dtype=int)
    for place in np.ndindex(*TARGETS.shape):
        if TARGETS[place] != 255:
            expected[place[0], TARGETS[place], LABELS[place]] += 1
    assert np.array_equal(confusion(LABELS, TARGETS, CLASSES), expected)
    theirs = tm.multiclass_confusion_matrix(LABELS, TARGETS, CLASSES, ignore_index=255)
    assert torch.equal(confusion(LABELS, TARGETS, CLASSES).sum(dim=0), theirs)


def test_iou_is_torchmetrics():
    metric, counts = summed("miou")
    theirs = tm.multiclass_jaccard_index(LABELS, TARGETS, CLASSES, average="none", ignore_index=255)
    each = metric.per_class(counts)
    assert each[4].isnan() and each[3] == 0
    torch.testing.assert_close(each[:4].float(), theirs[:4])
    mean = tm.multiclass_jaccard_index(LABELS, TARGETS, CLASSES, average="macro", ignore_index=255)
    assert metric.value(counts) == pytest.approx(mean.item())
    assert metric.value(counts) == pytest.approx(theirs[:4].mean().item())


def test_pixel_and_mean_accuracy_are_torchmetrics():
    metric, counts = summed("accuracy")
    micro = tm.multiclass_accuracy(LABELS, TARGETS, CLASSES, average="micro", ignore_index=255)
    assert metric.value(counts) == pytest.approx(micro.item())
    metric, counts = summed("mean_accuracy")
    each = tm.multiclass_recall(LABELS, TARGETS, CLASSES, average="none", ignore_index=255)
    torch.testing.assert_close(metric.per_class(counts)[:3].float(), each[:3])
    assert metric.per_class(counts)[3:].isnan().all()  # never true: recall has nothing to say
    assert metric.value(counts) == pytest.approx(each[:3].mean().item())


def test_frequency_weighted_iou_is_torchmetrics():
    metric, counts = summed("fw_iou")
    theirs = tm.multiclass_jaccard_index(LABELS, TARGETS, CLASSES, average="weighted", ignore_index=255)
    assert metric.value(counts) == pytest.approx(theirs.item())


def test_dice_is_f1_of_pixels():
    metric, counts = summed("dice")
    each = tm.multiclass_f1_score(LABELS, TARGETS, CLASSES, average="none", ignore_index=255)
    torch.testing.assert_close(metric.per_class(counts)[:4].float(), each[:4])
    assert metric.value(counts) == pytest.approx(each[:4].mean().item())


def test_dice_of_each_image_is_torchmetrics_where_all_classes_are():
    known = TARGETS.where(TARGETS != 255, 0)
    known[:, :, :3] = torch.arange(3)
    p = torch.nn.functional.one_hot(LABELS.clamp(max=2), 3).movedim(-1, 1).float()
    metric = parse_metric("dice(over=image, background=False)")
    counts = metric.count(p, known)
    theirs = dice_score(
        LABELS.clamp(max=2), known, 3, include_background=False, average="macro", input_format="index"
    )
    torch.testing.assert_close(metric.item_scores(counts).float(), theirs.float())
    assert metric.value(counts.sum(dim=0)) == pytest.approx(theirs.mean().item())


def test_image_by_image_is_the_mean_over_what_each_image_has():
    metric, counts = summed("miou(over=image)")
    scores = []
    for labels, targets in zip(LABELS, TARGETS, strict=True):
        known = targets != 255
        each = []
        for c in range(CLASSES):
            both, either = (
                ((labels == c) & (targets == c) & known).sum(),
                ((labels == c) | (targets == c)) & known,
            )
            if either.sum():
                each.append((both / either.sum()).item())
        scores.append(np.mean(each))
    assert metric.value(counts) == pytest.approx(np.mean(scores))
    per_class = metric.per_class(counts)
    assert per_class[3] == 0 and per_class[4].isnan()


def test_a_half_is_the_first_class():
    p, targets = torch.full((1, 1, 1, 1), 0.5), torch.zeros(1, 1, 1, dtype=torch.long)
    for probabilities in (p, torch.cat([p, p], dim=1)):
        assert parse_metric("accuracy").value(parse_metric("accuracy").count(probabilities, targets)[0]) == 1
