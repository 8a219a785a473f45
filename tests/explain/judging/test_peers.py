"""Where other packages judge wrongly, ours does not; each test says what they do and why it is wrong."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from foveate.explain.judging.baselines import baselines
from foveate.explain.judging.fills import Blur, fills
from foveate.explain.judging.imputation import _weights, impute
from foveate.explain.judging.judge import judge
from foveate.explain.judging.order import ranks
from foveate.explain.judging.randomisation import Randomisation, layers_from_output
from foveate.explain.judging.read_subject import masks_of_boxes, read_subject
from foveate.explain.judging.road import Road
from tests.explain.judging.test_contract import Spot, drawn, images, judged, true_masks
from tests.explain.judging.toy import network, picture


def test_road_removes_the_stated_share_of_a_map_of_zeros():
    """pytorch-grad-cam keeps what lies below a quantile: with 94 % zeros that is nothing, at any share."""
    sparse = torch.zeros(1, 12, 12)
    sparse[0, :3, :3] = torch.linspace(0.1, 1, 9).view(3, 3)
    turns = ranks(sparse)[0]
    for share, count in zip((20, 40, 60, 80), Road(steps=4).counts(144), strict=True):
        kept_by_quantile = sparse.flatten() < torch.quantile(sparse.flatten(), 1 - share / 100)
        assert not kept_by_quantile.any()  # as they do
        assert int((turns >= count).sum()) == 144 - 144 * share // 100
        assert set(range(9)) >= set(turns.view(12, 12)[:3, :3].flatten().tolist()), "the nine values go first"


def test_road_takes_pictures_of_any_number_of_channels():
    """Quantus indexes channels with numbers of pixels, and raises IndexError on RGB."""
    image = torch.rand(3, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gone = torch.rand(6, 5, generator=torch.Generator().manual_seed(1)) < 0.6
    together = impute(image, gone, noise=0)
    alone = torch.cat([impute(image[c : c + 1], gone, noise=0) for c in range(3)])
    assert torch.allclose(together, alone, atol=1e-12)
    weights = torch.from_numpy(_weights(6, 5).toarray())
    assert torch.allclose(weights.sum(dim=1), torch.ones(30, dtype=torch.float64))
    means = together.flatten(1) @ weights.T  # every removed pixel is the weighted mean of its neighbours
    assert torch.allclose(means[:, gone.flatten()], together.flatten(1)[:, gone.flatten()], atol=1e-12)
    assert torch.equal(together[:, ~gone], image[:, ~gone])
    assert torch.equal(
        impute(image, torch.ones_like(gone)), image.mean(dim=(1, 2), keepdim=True).expand_as(image)
    )


def test_the_noise_of_road_is_on_removed_pixels_alone():
    image, gone = torch.zeros(1, 40, 40), torch.zeros(40, 40, dtype=torch.bool)
    gone[:20] = True
    found = impute(image, gone, noise=0.01, generator=torch.Generator().manual_seed(0))[0]
    assert float(found[:20].std()) == pytest.approx(0.01, rel=0.1) and not found[20:].any()


def test_pointing_at_an_empty_mask_is_neither_hit_nor_miss():
    """Quantus stores NaN among booleans, where it is True: an empty mask counts as a hit."""
    masks = true_masks()
    masks[0] = False
    found = judged("pointing", true_masks().float() + 0.01, masks=masks)["pointing"]
    assert math.isnan(found[0]) and found.mean == 1.0 and found.pictures == 4
    assert found.skipped == {"empty mask": 1} and bool(np.array([np.nan]).astype(bool)[0])


def test_among_equal_maxima_the_first_is_the_point():
    """Quantus counts a hit if any of the tied maxima lies on the mask, so that a flat map always hits."""
    flat = torch.zeros(5, 12, 8)
    flat[:, -1, -2:] = 1
    masks = torch.zeros(5, 12, 8, dtype=torch.bool)
    masks[:, -1, -1] = True
    assert judged("pointing", flat, masks=masks)["pointing"].mean == 0
    assert judged("pointing(tolerance=1)", flat, masks=masks)["pointing(tolerance=1)"].mean == 0
    assert judged("pointing(tolerance=1.5)", flat, masks=masks)["pointing(tolerance=1.5)"].mean == 1


def test_localisation_does_not_depend_on_the_batch():
    """Quantus takes the size of a picture from the shape of the batch: inf for a batch of two."""
    texts = ["energy", "rank", "overlap", "roc_auc"]
    whole, two = judged(texts, drawn()), judged(texts, drawn()[:2], count=2)
    for text in texts:
        assert np.allclose(whole[text].each[:2], two[text].each)
    assert np.allclose(
        whole["energy"].extra["times chance"], whole["energy"].each / true_masks().float().mean().item()
    )


def test_energy_of_signed_maps_is_a_share():
    """Quantus does not clip: its relevance mass of signed maps is -0.32 or -1.21."""
    signed = drawn() - 0.2
    each = judged("energy", signed)["energy"].each
    assert ((each >= 0) & (each <= 1)).all()
    unclipped = (signed * true_masks()).sum(dim=(1, 2)) / signed.sum(dim=(1, 2))
    assert (unclipped < 0).any() or (unclipped > 1).any()
    none = judged("energy", -signed.abs() - 1)["energy"]
    assert none.pictures == 0 and none.skipped == {"no positive value": 5} and math.isnan(none.mean)


def test_the_area_does_not_grow_with_the_number_of_steps():
    """Quantus' pixel flipping has no untouched point and a step of 1: its area grows with the steps.

    It also calls np.trapz, which numpy 2.4 has dropped.
    """
    nothing = nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 8, 2))
    nn.init.zeros_(nothing[1].weight)
    for steps in (4, 7, 20):
        text = f"deletion(steps={steps})"
        found = judge(nothing, images(), drawn(), text, baselines=())[text]
        p = float(nothing[1].bias.detach().softmax(dim=0).max())
        assert np.allclose(found.each, p, atol=1e-6) and found.curves["curve"].shape == (5, steps + 1)


def test_a_horizontal_edge_is_an_edge():
    """Quantus' Sobel control filters one direction: 0.0 on a horizontal edge."""
    x = torch.zeros(1, 3, 12, 8)
    x[:, :, 6:] = 1
    subject = read_subject(Spot(), x, None, None)
    across = baselines["edges"].make(subject, (1, 1), 0)[0]
    assert float(across[5:7].min()) == 4.0 and not across[:5].any() and not across[7:].any()
    x = x.transpose(2, 3)
    down = baselines["edges"].make(read_subject(Spot(), x, None, None), (1, 1), 0)[0]
    assert torch.equal(down, across.T)


def test_a_blurred_border_is_not_dark():
    """RISE pads with zeros before it blurs: an all-one picture is 0.299 in the corner, 0.547 at the edge."""
    ones = read_subject(Spot(), torch.ones(1, 3, 40, 40), None, None)
    assert torch.allclose(fills["blur"](ones, Blur()), torch.ones(1, 3, 40, 40))
    as_rise = fills["blur"](ones, Blur("rise"))[0, 0]
    assert float(as_rise[0, 0]) == pytest.approx(0.299, abs=1e-3)
    assert float(as_rise[0, 20]) == pytest.approx(0.547, abs=1e-3)


@pytest.mark.parametrize("inserts", [False, True])
def test_curves_are_those_of_one_picture_at_a_time(inserts):
    model, x = network(2), torch.cat([picture(seed) for seed in (0, 2)])
    maps = torch.rand(2, 12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(5)).round(
        decimals=1
    )
    name = "insertion" if inserts else "deletion"
    text = f"{name}(steps=7, fill=mean)"
    found = judge(model, x, maps, text, baselines=(), batch=5, grid=None)[text]
    for i in range(2):
        with torch.no_grad():
            target = int(model(x[i : i + 1]).argmax())
            order = sorted(range(144), key=lambda n: (-float(maps[i].flatten()[n]), n))
            curve = []
            for step in range(8):
                gone = order[: round(step * 144 / 7)]
                changed = x[i].flatten(1).clone()
                mean = changed.mean(dim=1, keepdim=True)
                if inserts:
                    back, changed = changed, mean.expand(-1, 144).clone()
                    changed[:, gone] = back[:, gone]
                else:
                    changed[:, gone] = mean.expand(-1, len(gone))
                curve.append(float(model(changed.view(1, 3, 12, 12)).softmax(dim=1)[0, target]))
        assert found.curves["curve"][i].tolist() == pytest.approx(curve, abs=1e-12)
        shares = [round(step * 144 / 7) / 144 for step in range(8)]
        assert found[i] == pytest.approx(np.trapezoid(curve, shares), abs=1e-12)


def test_scales_of_a_curve():
    texts = ["deletion", "deletion(scale=log_odds)", "deletion(scale=normalised)"]
    plain, odds, normal = (judged(texts, drawn())[text] for text in texts)
    p = plain.curves["curve"]
    shares = np.round(np.linspace(0, 96, 21)) / 96
    assert np.allclose(odds.each, np.trapezoid(np.log(p / (1 - p)), shares, axis=1))
    assert np.allclose(normal.each, (plain.each - p[:, -1]) / (p[:, 0] - p[:, -1]))
    assert np.allclose(plain.extra["log_odds"], odds.each) and np.allclose(
        plain.extra["normalised"], normal.each
    )


def test_saturated_probabilities_keep_their_log_odds():
    class Sure(nn.Module):
        def forward(self, x):
            return torch.stack([torch.zeros(len(x)), 20 + x.mean(dim=(1, 2, 3))], dim=1)

    found = judge(Sure(), images(), drawn(), "deletion", baselines=())["deletion"]
    assert (found.extra["log_odds"] > 20).all(), "in float32 all of these are 1, and ln(p / (1 - p)) is inf"


def test_ties_are_told_and_can_be_broken_at_random():
    relued = drawn().clamp_min(0.2)
    raster, broken = "deletion", "deletion(breaks=4)"
    found = judged([raster, broken], relued)
    share = found[raster].extra["tied"]
    assert np.allclose(share, (relued <= 0.2).float().mean(dim=(1, 2)), atol=1e-6) and share.mean() > 0.3
    assert (found[broken].extra["spread over ties"] > 0).all()
    assert "% of the pixels are tied; breaks=5 breaks ties at random" in "\n".join(found.notes())
    order = ranks(relued[:1], torch.Generator().manual_seed(0))[0]
    assert sorted(order.tolist()) == [*range(96)]
    by_turn = torch.empty(96)
    by_turn[order] = relued[0].flatten()
    assert (by_turn.diff() <= 0).all(), "ties are broken, and nothing else"


def test_a_patch_goes_as_one():
    text = "deletion(cell=4, steps=6)"
    found = judged(text, drawn())[text]
    coarse = (
        torch.nn.functional.avg_pool2d(drawn()[:, None], 4)[:, 0]
        .repeat_interleave(4, 1)
        .repeat_interleave(4, 2)
    )
    whole = judged("deletion(steps=6)", coarse + 1e-7 * -torch.arange(96).view(12, 8))["deletion(steps=6)"]
    assert found.curves["curve"].shape == (5, 7)
    assert np.allclose(found.curves["curve"][:, ::6], whole.curves["curve"][:, ::6])
    turns = ranks(torch.nn.functional.avg_pool2d(drawn()[:, None], 4)[:, 0])
    x = images()[:1].clone()
    x[0, :, (turns[0].view(3, 2).repeat_interleave(4, 0).repeat_interleave(4, 1) < 3)] = 0
    with torch.no_grad():
        expected = Spot()(x).softmax(dim=1)[0, 1]
    assert found.curves["curve"][0, 3] == pytest.approx(float(expected), abs=1e-6)


class Attending(nn.Module):
    """A class token, positions and ``nn.MultiheadAttention``: weights that no module resets."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.place = nn.Parameter(torch.randn(1, 1, 8))
        self.embed = nn.Conv2d(3, 8, 4, stride=4)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.BatchNorm1d(8)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        tokens = self.embed(x).flatten(2).transpose(1, 2) + self.place
        tokens = torch.cat([self.token.expand(len(x), -1, -1), tokens], dim=1)
        return self.head(self.norm(self.attention(tokens, tokens, tokens)[0][:, 0]))


@pytest.mark.parametrize("how", ["shuffle", "redraw"])
def test_randomisation_reaches_every_weight_with_numbers_of_its_own(how):
    """Quantus seeds before every layer, so that all get the same stream, and only calls reset_parameters.

    Class tokens, positions and the projections of nn.MultiheadAttention then stay as they were trained.
    """
    torch.manual_seed(0)
    model, seen = Attending().eval(), []

    def explain(current, x, _target):
        seen.append({key: value.clone() for key, value in current.state_dict().items()})
        return x.mean(dim=1) * (1 + 0 * current.head.weight.sum())

    text = f"randomisation(how={how}, steps=3)"
    judge(model, images(), explain, text, baselines=())
    before, last = model.state_dict(), seen[-1]
    names = [name for name, parameter in model.named_parameters() if parameter.unique().numel() > 1]
    assert all(not torch.equal(last[name], before[name]) for name in names)
    assert torch.equal(last["norm.running_mean"], before["norm.running_mean"])
    assert [name for name, _ in layers_from_output(model, images())] == [
        "head",
        "norm",
        "attention",
        "embed",
        "",
    ]
    if how == "shuffle":
        assert all(
            torch.equal(last[n].flatten().sort().values, before[n].flatten().sort().values) for n in names
        )
    first = Randomisation(how="redraw")._drawn("a", nn.Parameter(torch.randn(50)), 0)
    other = Randomisation(how="redraw")._drawn("b", nn.Parameter(torch.randn(50)), 0)
    assert abs(float(torch.corrcoef(torch.stack([first, other]))[0, 1])) < 0.5


def test_a_map_that_does_not_look_at_the_network_survives_randomisation():
    def centred(_model, x, _target):
        return torch.linspace(0, 1, 96).view(1, 12, 8).expand(len(x), -1, -1)

    found = judge(
        Attending().eval(), images(), centred, "randomisation", twin=Attending().eval(), baselines=()
    )
    scores = found["randomisation"]
    assert np.allclose(scores.each, 1) and np.allclose(scores.extra["of a twin"], 1)


def test_boxes_are_masks():
    masks = masks_of_boxes([[(1, 2, 3, 4)], [], [(0, 0, 1, 1), (4.4, 3.6, 9, 9)]], 6, 5)
    assert masks.sum(dim=(1, 2)).tolist() == [4, 0, 1 + 2]
    assert masks[0, 2:4, 1:3].all() and masks[2, 4:, 4:].all()
