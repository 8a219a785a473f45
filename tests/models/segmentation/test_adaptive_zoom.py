import copy
import math
import pickle

import pytest
import torch
from torch import nn

import foveate as fv
from foveate.errors import OptionError
from foveate.models.classification.attended_box import crops
from foveate.models.segmentation.adaptive_zoom import pasted, score_heat
from tests.drawn import drawn


def small(**options):
    torch.manual_seed(0)
    options = {"classes": 3, "encoder": "resnet8", "widths": (8, 8, 4), **options}
    return fv.create_model("adaptive_zoom", **options)


def test_the_system_written_out():
    model = drawn(small(threshold=0.6))
    x = torch.rand(2, 3, 40, 33)
    with torch.no_grad(), fv.record(model) as maps:
        y, coarse = model(x), model.global_net(x)
        for number, (left, top, right, bottom) in enumerate(maps["attended.box"].tolist()):
            heat = 1 - coarse[number].softmax(0)[0]
            scaled = (heat - heat.min()) / (heat.max() - heat.min())
            ys, xs = torch.nonzero(scaled > 0.6, as_tuple=True)
            assert (ys.min() <= top) and (ys.max() >= bottom) and (xs.min() <= left) and (xs.max() >= right)
            cut = x[number : number + 1, :, top : bottom + 1, left : right + 1]
            near = nn.functional.interpolate(cut, size=(40, 33), mode="bilinear")
            fine = nn.functional.interpolate(model.local_net(near), size=cut.shape[2:], mode="bilinear")
            place = (slice(number, number + 1), slice(None), slice(top, bottom + 1), slice(left, right + 1))
            a = model.weigh(torch.cat([fine, coarse[place]], dim=1)).sigmoid()
            expected = coarse[number : number + 1].clone()
            expected[(slice(None), *place[1:])] = a * fine + (1 - a) * coarse[place]
            torch.testing.assert_close(y[number : number + 1], expected, atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(maps["map"][place], a, atol=1e-5, rtol=1e-4)
            assert (maps["map"][number] > 0).sum() == a.numel() < 40 * 33


def test_at_first_the_second_look_counts_half_inside_the_box_and_nothing_outside():
    model = small()
    with fv.record(model) as maps:
        found = model.train()(torch.rand(2, 3, 24, 24))
    inside = maps["map"] > 0
    assert maps["map"].unique().tolist() in ([0.5], [0.0, 0.5])
    both = (found["aux_global"] + found["aux_local"]) / 2
    torch.testing.assert_close(found["out"], torch.where(inside, both, found["aux_global"]))
    outside = ~inside.expand_as(both)
    assert torch.equal(found["aux_local"][outside], found["aux_global"][outside])


def test_where_to_look_again():
    logits = torch.tensor([[[[2.0, 0.0]], [[1.0, 0.0]], [[-1.0, 0.0]]]])
    p = [math.exp(v) / sum(map(math.exp, (2, 1, -1))) for v in (2, 1, -1)]
    torch.testing.assert_close(score_heat(logits).flatten(), torch.tensor([1 - p[0], 2 / 3]))
    entropy = -sum(q * math.log(q) for q in p) / math.log(3)
    torch.testing.assert_close(score_heat(logits, "uncertainty").flatten(), torch.tensor([entropy, 1.0]))
    one = torch.randn(2, 1, 3, 3)
    torch.testing.assert_close(score_heat(one), one.sigmoid())


def test_what_was_cut_out_goes_back_to_its_place():
    x = torch.rand(2, 3, 12, 10)
    boxes = torch.tensor([[0, 0, 9, 11], [2, 3, 5, 6]])
    whole, inside = pasted(crops(x, boxes), boxes, torch.zeros_like(x))
    assert torch.equal(whole[0], x[0]) and inside[0].all()
    assert inside[1].nonzero().tolist() == [[0, y, c] for y in range(3, 7) for c in range(2, 6)]
    assert (whole[1] * (1 - inside[1]) == 0).all()
    flat = torch.full((1, 3, 12, 10), 0.7)  # a constant survives both resizings
    torch.testing.assert_close(pasted(crops(flat, boxes[1:]), boxes[1:], flat)[0], flat)


def test_every_weight_learns_from_the_loss_of_the_output_and_the_box_passes_no_gradient():
    model = small(side=False).train()
    y = model(torch.rand(2, 3, 24, 24))
    y.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    model = small().train()
    model(torch.rand(2, 3, 24, 24))["aux_local"].square().sum().backward()
    assert all(p.grad is None for p in model.global_net.parameters())
    assert any(p.grad.abs().sum() > 0 for p in model.local_net.parameters())


@pytest.mark.parametrize("size", [(64, 64), (65, 97), (1, 30), (1, 1)])
def test_images_of_any_size_that_do_not_depend_on_the_rest_of_the_batch(size):
    model = drawn(small(in_channels=2, classes=1, heat="uncertainty"))
    x = torch.rand(2, 2, *size)
    with torch.no_grad():
        both = model(x)
        assert both.shape == (2, 1, *size)
        torch.testing.assert_close(both[1:], model(x[1:]), atol=1e-5, rtol=1e-4)


def test_one_image_can_be_trained_on():
    assert model_trains(small(), torch.rand(1, 3, 17, 9))


def model_trains(model, x):
    return all(logits.isfinite().all() for logits in model.train()(x).values())


def test_copies_and_states_are_the_same_network():
    model, x = drawn(small()), torch.rand(1, 3, 17, 33)
    other = drawn(small(), seed=1)
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), other):
            assert torch.equal(copied(x), model(x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_finite(dtype):
    model = drawn(small()).to(dtype)
    with torch.no_grad():
        assert model(torch.rand(1, 3, 40, 33, dtype=dtype)).isfinite().all()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"network": "se_resnet18"}, "se_resnet18"),
        ({"network": "bisenet", "encoder": "xception39"}, "side=False"),
        ({"heat": "loss"}, "heat"),
        ({"threshold": 1.5}, "threshold"),
        ({"network": "unet", "nonsense": 1}, "nonsense"),
    ],
)
def test_impossible_options_are_told(options, message):
    with pytest.raises(OptionError, match=message):
        fv.create_model("adaptive_zoom", classes=2, **options)


def test_any_network_of_one_output_will_do():
    with torch.device("meta"):
        for options in (
            {"network": "fcn(side=False)", "encoder": "resnet18"},
            {"network": "attention_unet"},
        ):
            fv.create_model("adaptive_zoom", classes=2, **options)


@pytest.mark.nightly
def test_it_learns_eight_images_by_heart():
    torch.manual_seed(0)
    images = torch.rand(8, 3, 32, 32) * 0.4
    masks = torch.zeros(8, 32, 32, dtype=torch.long)
    for number, (top, left) in enumerate((8 * torch.randint(0, 3, (8, 2))).tolist()):
        masks[number, top : top + 13, left : left + 11] = 1
        images[number, :, top : top + 13, left : left + 11] += 0.5
    model = small(classes=2).train()
    optimiser, reached = torch.optim.Adam(model.parameters(), lr=0.01), 0.0
    for _ in range(100):
        logits = model(images)
        found = logits["out"].argmax(1)
        both = [((found == k) & (masks == k)).sum() / ((found == k) | (masks == k)).sum() for k in (0, 1)]
        reached = max(reached, float(sum(both) / 2))
        optimiser.zero_grad()
        sum(nn.functional.cross_entropy(each, masks) for each in logits.values()).backward()
        optimiser.step()
    assert reached > 0.95
