"""Every way to judge a map keeps the same rules."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

from foveate.errors import DataError, FoveateError, OptionError, ShapeError, UnknownNameError
from foveate.explain.judging.baselines import baselines
from foveate.explain.judging.fills import fills
from foveate.explain.judging.judge import judge
from foveate.explain.judging.metric import metrics

EVERY = [*metrics]
COUNT, SIZE = 5, (12, 8)  # not square


class Spot(nn.Module):
    """Class 1 is as likely as the top left quarter is bright."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(2))
        self.scale = nn.Parameter(torch.tensor([-4.0, 4.0]))

    def forward(self, x):
        bright = x[:, :, : x.shape[2] // 2, : x.shape[3] // 2].mean(dim=(1, 2, 3))
        return bright[:, None] * self.scale + self.bias


def images(count=COUNT):
    return torch.rand(count, 3, *SIZE, generator=torch.Generator().manual_seed(1)) + 0.5


def true_masks(count=COUNT):
    masks = torch.zeros(count, *SIZE, dtype=torch.bool)
    masks[:, : SIZE[0] // 2, : SIZE[1] // 2] = True
    return masks


def drawn(count=COUNT):
    return torch.rand(count, *SIZE, generator=torch.Generator().manual_seed(2)) - 0.3


def shifting(_model, x, _target):
    """Return maps that depend on each picture alone."""
    return x.mean(dim=1) - 1


def by_gradient(model, x, target):
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        logits = model(x)[torch.arange(len(x)), torch.as_tensor(target)]
        return (torch.autograd.grad(logits.sum(), x)[0] * x.detach()).sum(dim=1)


def judged(text, maps=None, count=COUNT, **options):
    given = {"first": shifting, "second": by_gradient} if maps is None else maps
    usual = {"masks": true_masks(count), "baselines": ()}
    return judge(Spot().eval(), images(count), given, text, **(usual | options))


@pytest.mark.parametrize("name", EVERY)
def test_a_metric_says_what_it_is(name):
    kind = metrics[name]
    assert kind.name == name and kind.asks and kind.better in ("higher", "lower", "neither")
    assert kind.about in ("faithfulness", "localisation", "robustness", "form")
    assert all(field.default is not dataclasses.MISSING for field in dataclasses.fields(kind))


@pytest.mark.parametrize("name", EVERY)
def test_one_number_a_picture_the_same_every_time_and_in_any_batch(name):
    found = judged(name)[name]
    assert len(found) == COUNT and np.isfinite(found.each).all()
    assert found.low <= found.mean <= found.high
    assert np.array_equal(np.asarray(judged(name, batch=3)[name]), found.each)
    if name != "sensitivity":  # which draws its noise for the whole batch
        assert np.allclose(judged(name, count=2)[name].each, found.each[:2], atol=1e-6)


@pytest.mark.parametrize("name", EVERY)
def test_a_model_is_left_as_it_was(name):
    model = Spot().train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    judge(model, images(), {"a": by_gradient, "b": shifting}, name, true_masks(), baselines=("gradient",))
    assert model.training and all(p.grad is None and p.requires_grad for p in model.parameters())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize("name", EVERY)
def test_maps_that_cannot_be_judged_are_left_out_and_counted(name):
    def broken(model, x, target):
        maps = shifting(model, x, target).clone()
        maps[0] = math.nan
        maps[1] = 0.25
        return maps

    found = judged(name, {"broken": broken, "other": by_gradient})[name]
    assert found.skipped.get("map not finite") == 1 and math.isnan(found[0])
    assert found.skipped.get("constant map", 0) == metrics[name].ranks == math.isnan(found[1])
    assert found.pictures == np.isfinite(found.each).sum() and np.isfinite(found.each[2:]).all()


@pytest.mark.parametrize("name", EVERY)
def test_an_unknown_option_is_an_error(name):
    with pytest.raises(OptionError, match='no option "colour"'):
        judged(f"{name}(colour=1)")


@pytest.mark.parametrize("name", [n for n in EVERY if metrics[n].ranks and not metrics[n].needs & {"method"}])
def test_what_ranks_sees_only_the_order(name):
    maps = drawn().double()
    plain = judged(name, {"a": maps, "b": maps.flip(0)})[name].each
    assert np.allclose(judged(name, {"a": maps.exp() * 3, "b": maps.flip(0)})[name].each, plain, atol=1e-9)


@pytest.mark.parametrize("name", [n for n in EVERY if metrics[n].about == "localisation"])
def test_the_true_mask_is_the_upper_end_and_masks_can_be_missing(name):
    masks = true_masks()
    masks[3] = False
    text = "top_k(k=10)" if name == "top_k" else name
    found = judged(text, masks.float() + 0.1 * drawn() * masks, masks=masks)[text]
    assert np.delete(found.each, 3) == pytest.approx(1.0)
    assert math.isnan(found[3]) and sum(found.skipped.values()) == 1
    with pytest.raises(OptionError, match="needs true masks"):
        judged(name, drawn(), masks=None)


@pytest.mark.parametrize("fill", [*fills, "linear"])
@pytest.mark.parametrize("name", ["deletion", "insertion"])
def test_every_fill_finds_the_spot(name, fill):
    text = f"{name}(fill={fill}, steps=8)"
    oracle = true_masks().float() + 0.01 * drawn()
    found = judged(text, {"oracle": oracle, "inverse": -oracle}, normalisation=((0.5,) * 3, (0.5,) * 3))
    assert found[text].metric == text
    if fill in ("zero", "black"):  # the others leave as much light as there was
        gain = found[text, "inverse"].mean - found[text, "oracle"].mean
        assert (gain if name == "deletion" else -gain) > 0.05


@pytest.mark.parametrize("name", [*baselines])
def test_baselines_are_finite_and_fixed_by_the_seed(name):
    found = judged("gini", drawn(), baselines=(name,))
    again = judged("gini", drawn(), baselines=(name,))
    assert np.isfinite(found["gini", name].each).all()
    assert np.array_equal(found["gini", name].each, again["gini", name].each)
    assert judged("gini", drawn(), baselines=(name,), masks=None).baselines == (
        () if baselines[name].needs_masks else (name,)
    )


def test_many_draws_of_a_baseline_are_averaged_in_a_picture():
    found = judged("pointing", drawn(), baselines=("random",))["pointing", "random"]
    assert set(np.round(found.each * 3).tolist()) <= {0, 1, 2, 3} and not np.isin(found.each, (0, 1)).all()


def test_wrong_predictions_are_left_out():
    labels = torch.tensor([1, 1, 0, 1, 1])
    found = judged(["deletion", "gini"], drawn(), labels=labels)
    assert found.skipped == {"wrongly predicted": 1}
    assert [np.isnan(one.each).tolist() for one in found.values()] == [[False, False, True, False, False]] * 2
    assert "Left out: 1 of 5 pictures, wrongly predicted." in str(found)
    with pytest.raises(DataError, match="all 5 predictions are wrong"):
        judged("gini", drawn(), labels=torch.zeros(5, dtype=torch.long))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"maps": torch.rand(4, *SIZE)}, ShapeError, r"expected \(5, 12, 8\)"),
        ({"maps": "no such method"}, FoveateError, "no such method"),
        ({"maps": 3}, ShapeError, "expected maps"),
        ({"masks": torch.ones(5, 3, 3)}, ShapeError, "masks: got"),
        ({"masks": torch.full((5, *SIZE), 2)}, ShapeError, "other than 0 and 1"),
        ({"metrics": "delection"}, UnknownNameError, "deletion"),
        ({"metrics": ()}, OptionError, "metrics: got none"),
        ({"metrics": "randomisation"}, OptionError, "only a tensor came"),
        ({"metrics": "agreement"}, OptionError, "there is one"),
        ({"metrics": "deletion(fill=black)"}, OptionError, "normalisation"),
        ({"metrics": "deletion(fill=snow)"}, OptionError, "fill"),
        ({"metrics": "deletion(cell=5)"}, OptionError, "whole cells"),
        ({"labels": [1, 1]}, ShapeError, "labels"),
        ({"grid": 40}, OptionError, "grid"),
        ({"grid": "fine"}, OptionError, "coarsest"),
        ({"level": 1.0}, OptionError, "level"),
        ({"baselines": ("center",)}, UnknownNameError, "centre"),
        ({"images": torch.rand(12, 8)}, ShapeError, "images"),
        ({"normalisation": ((0.5,), (0.5,))}, OptionError, "3 numbers"),
        ({"target": 7}, OptionError, "class 7"),
    ],
)
def test_what_is_wrong_is_said(change, error, words):
    given = {"images": images(), "maps": drawn(), "metrics": "deletion", "masks": true_masks()} | change
    with pytest.raises(error, match=words):
        judge(Spot().eval(), **given)


def test_a_map_for_each_channel_is_summed_but_for_infidelity():
    maps = torch.rand(COUNT, 3, *SIZE, generator=torch.Generator().manual_seed(3))
    found = judged(["gini", "infidelity(local=True)"], maps)
    summed = judged(["gini", "infidelity(local=True)"], maps.sum(dim=1))
    assert np.allclose(found["gini"].each, summed["gini"].each)
    assert not np.allclose(found["infidelity(local=True)"].each, summed["infidelity(local=True)"].each)
