"""What holds for every metric of dense labels, whatever it counts."""

import math

import pytest
import torch

from foveate.errors import DataError, OptionError, ShapeError, UnknownNameError
from foveate.tasks.metric import Metric
from foveate.tasks.metrics import CountedMetric, metrics, parse_metric
from tests.each import each

OF_CLASSES = ["miou", "dice", "mean_accuracy", "accuracy", "fw_iou", "boundary_f1"]
OF_ONE_OBJECT = ["mae", "max_f", "adaptive_f", "auroc_pixels"]
OTHERS = [
    "miou(background=False)",
    "miou(over=image)",
    "dice(over=image, background=False)",
    "boundary_f1(over=data)",
    "boundary_f1(tolerance=2)",
    "mae(over=data)",
    "mae(stretched=True)",
    "max_f(over=data)",
    "max_f(beta2=1)",
    "adaptive_f(over=data)",
    "auroc_pixels(bins=10)",
]
EVERY = [*OF_CLASSES, *OF_ONE_OBJECT, *OTHERS]
every = each(parse_metric(text) for text in EVERY)


def example(metric, items=5, size=(6, 7)):
    """Probabilities and targets with unknown pixels: of two classes for one object, else of four."""
    draw = torch.Generator().manual_seed(1)
    classes = 2 if metrics.name_of(type(metric)) in OF_ONE_OBJECT else 4
    p = torch.randn(items, classes, *size, generator=draw, dtype=torch.float64).mul(3).softmax(dim=1)
    targets = torch.randint(0, classes, (items, *size), generator=draw)
    targets[:, :2] = 1
    targets[:, :, 0] = 255
    targets[0, -2:] = 255
    return p, targets


def test_every_metric_is_here():
    assert {*OF_CLASSES, *OF_ONE_OBJECT} == set(metrics)


@every
def test_counts_add_up(metric):
    p, targets = example(metric)
    counts = metric.count(p, targets)
    parts = torch.cat([metric.count(p[:2], targets[:2]), metric.count(p[2:], targets[2:])])
    assert torch.equal(counts, parts)
    assert counts.dtype in (torch.int64, torch.float64) and counts.ndim == 3
    assert metric.value(counts.sum(dim=0)) == pytest.approx(metric.value(parts.flip(0).sum(dim=0)))


@every
def test_the_score_of_an_item_is_its_value_alone(metric):
    counts = metric.count(*example(metric))
    scores = metric.item_scores(counts)
    assert scores.shape == (5,) and scores.dtype == torch.float64
    for score, own in zip(scores.tolist(), counts, strict=True):
        assert metric.value(own) == score
        assert 0 <= score <= 1
    left_out = counts.sum(dim=0) - counts  # as a jackknife asks for, all at once
    assert metric.scores(left_out).tolist() == [metric.value(rest) for rest in left_out]


@every
def test_it_says_truly_whether_it_is_the_mean_of_its_items(metric):
    counts = metric.count(*example(metric))
    mean = metric.item_scores(counts).mean().item()
    assert metric.averages == (mean == pytest.approx(metric.value(counts.sum(dim=0)), abs=1e-12))


@every
def test_unknown_pixels_are_in_no_count(metric):
    p, targets = example(metric)
    other = p.where(targets.unsqueeze(1) != 255, p.flip(1))
    assert not torch.equal(p, other)
    assert torch.equal(metric.count(p, targets), metric.count(other, targets))


@every
def test_the_right_answer_has_the_best_score_and_a_wrong_one_has_not(metric):
    _, targets = example(metric)
    classes = 2 if metrics.name_of(type(metric)) in OF_ONE_OBJECT else 4
    sure = torch.nn.functional.one_hot(targets.clamp(max=classes - 1), classes).movedim(-1, 1).double()
    best = metric.value(metric.count(sure, targets).sum(dim=0))
    wrong = metric.value(metric.count(sure.roll(1, dims=1), targets).sum(dim=0))
    assert best == (1 if metric.higher_is_better else 0)
    assert wrong < 1 if metric.higher_is_better else wrong == 1


@every
def test_nothing_known_is_no_number(metric):
    p, targets = example(metric)
    counts = metric.count(p, torch.full_like(targets, 255))
    assert math.isnan(metric.value(counts.sum(dim=0)))
    assert metric.item_scores(counts).isnan().all()
    some = metric.count(p, targets)  # and does not spoil what is known
    assert metric.value(counts.sum(dim=0) + some.sum(dim=0)) == metric.value(some.sum(dim=0))


@every
def test_one_channel_is_the_probability_of_the_second_class(metric):
    p, targets = example(metric)
    two, targets = torch.stack([1 - p[:, 1], p[:, 1]], dim=1), targets.where(targets < 4, 255).clamp(max=255)
    targets = targets.where(targets == 255, targets % 2)
    assert torch.equal(metric.count(two[:, 1:], targets), metric.count(two, targets))
    with pytest.raises(ShapeError, match=r"expected probabilities in \[0, 1\]. Apply the sigmoid"):
        metric.count(10 * two[:, 1:] - 5, targets)


@every
def test_a_volume_of_one_slice_is_an_image(metric):
    p, targets = example(metric)
    flat = metric.count(p, targets)
    if "boundary" not in str(metric) or metric.tolerance is not None:
        assert torch.equal(metric.count(p.unsqueeze(2), targets.unsqueeze(1)), flat)


@every
def test_it_prints_what_reads_back_and_is_a_metric_of_the_reports(metric):
    assert parse_metric(str(metric)) == metric == parse_metric(metric)
    assert isinstance(metric, Metric) and metric.name and (metric.unit, metric.scale) == ("points", 100)


@every
def test_classes_have_scores_where_they_count(metric):
    counts = metric.count(*example(metric)).sum(dim=0)
    each = metric.per_class(counts)
    if metrics.name_of(type(metric)) in OF_ONE_OBJECT:
        assert each is None
    else:
        assert each.shape == (4,) and ((each >= 0) & (each <= 1)).all()


@pytest.mark.parametrize("name", ["miou", "dice", "mean_accuracy"])
def test_the_mean_leaves_the_background_out_if_told(name):
    metric, without = parse_metric(name), parse_metric(f"{name}(background=False)")
    counts = metric.count(*example(metric)).sum(dim=0)
    each = metric.per_class(counts)
    assert torch.equal(each, without.per_class(counts))
    assert metric.value(counts) == pytest.approx(each.mean().item())
    assert without.value(counts) == pytest.approx(each[1:].mean().item())


def test_what_does_not_fit_is_refused():
    miou, mae = metrics["miou"](), metrics["mae"]()
    p, targets = example(miou)
    with pytest.raises(ShapeError, match="expected floating point"):
        miou.count(p[..., 1:], targets)
    with pytest.raises(DataError, match="hold 4, but there are logits for classes 0 to 3"):
        miou.count(p, targets.where(targets != 2, 4))
    with pytest.raises(ShapeError, match="got 4 classes, expected one channel or two"):
        mae.count(p, targets)
    with pytest.raises(UnknownNameError, match="Nearest: miou"):
        parse_metric("mio")
    with pytest.raises(OptionError, match=r'no option "backgroud"\. Nearest: background\.'):
        parse_metric("miou(backgroud=False)")
    for wrong in ("miou(over=pixel)", "max_f(beta2=-1)", "auroc_pixels(bins=1)", "boundary_f1(tolerance=-1)"):
        with pytest.raises(OptionError, match="expected"):
            parse_metric(wrong)
    assert not isinstance(Metric("x", "points", 100.0), CountedMetric)
