from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from foveate.compare.statistics.pseudo_values import class_scores, item_scores
from foveate.errors import OptionError, ShapeError, UnknownNameError
from foveate.models import create_model
from foveate.recipe import TrainConfig
from foveate.tasks import tasks
from foveate.tasks.losses import parse_loss, presence

CLASSES = ("sky", "road", "car")


@dataclass(frozen=True)
class Some:
    images: torch.Tensor
    targets: torch.Tensor


def batch(items: int = 4, side: int = 6, seed: int = 0) -> Some:
    draw = torch.Generator().manual_seed(seed)
    targets = torch.randint(0, 3, (items, side, side), generator=draw)
    targets[:, 0] = 255
    return Some(torch.rand(items, 3, side, side, generator=draw), targets)


def logits(of: Some, channels: int = 3) -> torch.Tensor:
    shape = (len(of.targets), channels, *of.targets.shape[1:])
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


class Saying(nn.Module):
    """A network that returns what it is told to."""

    def __init__(self, outputs: object, **attributes: object) -> None:
        super().__init__()
        self.outputs = outputs
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, x: torch.Tensor) -> object:
        return self.outputs


def naive_iou(labels: np.ndarray, targets: np.ndarray) -> list[float]:
    found = []
    for k in range(len(CLASSES)):
        both = either = 0
        for label, target in zip(labels.ravel(), targets.ravel(), strict=True):
            if target != 255:
                both += label == k and target == k
                either += k in (label, target)
        found.append(both / either if either else float("nan"))
    return found


def test_the_metric_is_the_iou_over_all_pixels_counted_one_by_one():
    task, some = tasks["segmentation"](CLASSES), batch()
    outputs = task.forward(Saying(logits(some)), some)
    records = task.record(outputs, some).numpy()
    expected = naive_iou(task.answer(outputs).numpy(), some.targets.numpy())
    assert task.value(records) == pytest.approx(np.mean(expected))
    np.testing.assert_allclose(task.by_class(records), expected)
    figures = task.figures(records)
    known = some.targets != 255
    right = (task.answer(outputs) == some.targets)[known].double().mean()
    assert figures["pixel accuracy"] == pytest.approx(100 * right.item()) and "mIoU" not in figures


def test_another_metric_is_told_beside_the_iou():
    some = batch()
    dice = tasks["segmentation"](CLASSES, metric="dice(background=False)")
    records = dice.record(dice.forward(Saying(logits(some)), some), some).numpy()
    iou = np.array(naive_iou(logits(some).argmax(1).numpy(), some.targets.numpy()))
    assert dice.value(records) == pytest.approx(np.mean((2 * iou / (1 + iou))[1:]))
    assert dice.figures(records)["mIoU"] == pytest.approx(100 * iou.mean())
    np.testing.assert_allclose(dice.by_class(records), iou)


def test_scores_of_one_object_are_told_together():
    some = batch()
    some.targets[some.targets == 2] = 1
    told, alone = {}, {}
    for name in ("max_f", "mae", "adaptive_f"):
        task = tasks["segmentation"](CLASSES[:2], metric=name)
        records = task.record(task.forward(Saying(logits(some)[:, :2]), some), some).numpy()
        told[name], alone[name] = task.figures(records), pytest.approx(100 * task.value(records))
    assert told["max_f"]["MAE"] == alone["mae"] and "max F" not in told["max_f"]
    assert told["mae"]["max F"] == alone["max_f"] and "MAE" not in told["mae"]
    assert (told["adaptive_f"]["max F"], told["adaptive_f"]["MAE"]) == (alone["max_f"], alone["mae"])
    assert told["mae"]["mIoU"] == told["max_f"]["mIoU"]


def test_pseudo_values_average_to_the_metric_and_vary_as_the_jackknife_says():
    task, some = tasks["segmentation"](CLASSES), batch(items=7)
    records = task.record(task.forward(Saying(logits(some)), some), some).numpy()
    scores = item_scores(task, records)
    assert scores.shape == (7,) and scores.mean() == pytest.approx(task.value(records))
    left_out = np.array([task.value(np.delete(records, i, axis=0)) for i in range(7)])
    jackknife = (7 - 1) / 7 * np.square(left_out - left_out.mean()).sum()
    assert scores.var(ddof=1) / 7 == pytest.approx(jackknife)
    by_class = class_scores(task, records)
    np.testing.assert_allclose(by_class.mean(0), task.by_class(records))


def test_a_class_seen_in_one_image_alone_has_no_pseudo_values():
    task, some = tasks["segmentation"](CLASSES), batch()
    some.targets[some.targets == 2] = 0
    some.targets[0, 1, 1] = 2
    sure = F.one_hot(some.targets.clamp(max=2), 3).permute(0, 3, 1, 2).float()
    records = task.record(task.forward(Saying(sure), some), some).numpy()
    by_class = class_scores(task, records)
    assert np.isnan(by_class[:, 2]).all() and not np.isnan(by_class[:, :2]).any()
    assert not np.isnan(item_scores(task, records)).any()


def test_auxiliary_outputs_are_weighed_as_the_model_says():
    task, some = tasks["segmentation"](CLASSES, loss="ce+0.5*dice"), batch()
    main, side, there = logits(some), logits(some)[:, :, ::2, ::2], torch.randn(4, 3)
    model = Saying(
        {"out": main, "side": side, "presence": there}, aux_weights={"side": 0.25, "presence": 0.2}
    )
    loss = parse_loss("ce+0.5*dice")
    large = F.interpolate(side, size=(6, 6), mode="bilinear")
    expected = loss(main, some.targets) + 0.25 * loss(large, some.targets)
    expected = expected + 0.2 * presence(there, some.targets)
    torch.testing.assert_close(task.loss_of(task.forward(model, some), some), expected)
    unsaid = task.loss_of(task.forward(Saying({"out": main, "aux": side}), some), some)
    torch.testing.assert_close(unsaid, loss(main, some.targets) + 0.5 * loss(large, some.targets))


def test_one_channel_is_the_second_of_two_classes():
    task, some = tasks["segmentation"](("ground", "object")), batch()
    some.targets[some.targets == 2] = 1
    x = logits(some, 1)
    outputs = task.forward(Saying(x), some)
    torch.testing.assert_close(task.probabilities(outputs)[:, 1:], x.sigmoid())
    both = task.forward(Saying(torch.cat([torch.zeros_like(x), x], 1)), some)
    torch.testing.assert_close(task.loss_of(outputs, some), task.loss_of(both, some))
    np.testing.assert_array_equal(task.record(outputs, some), task.record(both, some))
    task.check_outputs(outputs, some.targets.numpy())


def test_logits_smaller_than_the_images_are_resized():
    task, some = tasks["segmentation"](CLASSES), batch()
    small = torch.randn(4, 3, 3, 2)
    assert task.forward(Saying(small), some).logits.shape == (4, 3, 6, 6)


def test_class_weights_and_label_smoothing():
    some, weights = batch(), [1.0, 4.0, 0.5]
    task = tasks["segmentation"](CLASSES, class_weights=weights)
    expected = F.cross_entropy(logits(some), some.targets, torch.tensor(weights), ignore_index=255)
    outputs = task.forward(Saying(logits(some)), some)
    torch.testing.assert_close(task.loss_of(outputs, some), expected)
    with pytest.raises(OptionError, match=r"ce\(label_smoothing=0.1\)"):
        tasks["segmentation"].of({"classes": CLASSES}, recipe=TrainConfig(label_smoothing=0.1))


def test_mistakes_are_told():
    task, some = tasks["segmentation"](CLASSES), batch()
    with pytest.raises(ShapeError, match=r"\(4, 10\), expected \(B, classes, H, W\)"):
        task.forward(Saying(torch.rand(4, 10)), some)
    with pytest.raises(ShapeError, match=r"4 channels of logits for 3 classes.*classes=3"):
        task.check_outputs(task.forward(Saying(logits(some, 4)), some), some.targets.numpy())
    with pytest.raises(UnknownNameError, match="miuo"):
        tasks["segmentation"](CLASSES, metric="miuo")


@pytest.mark.parametrize(
    "name",
    [
        "fcn(encoder=timm/test_resnet)",
        "bisenet(encoder=timm/test_resnet)",
        pytest.param("u2netp", marks=pytest.mark.slow),
        "encnet(encoder=timm/test_resnet)",
    ],
)
def test_systems_with_auxiliary_heads_train_on_it(name):
    """The weights of a system name its own outputs, and every one of its parameters is trained."""
    torch.manual_seed(0)
    model, task, some = create_model(name, classes=3).train(), tasks["segmentation"](CLASSES), batch(2, 64)
    outputs = task.forward(model, some)
    assert {weight for _, weight in outputs.aux} <= {float(w) for w in model.aux_weights.values()} | {1.0}
    task.loss_of(outputs, some).backward()
    untrained = [path for path, p in model.named_parameters() if p.grad is None]
    assert untrained == []
