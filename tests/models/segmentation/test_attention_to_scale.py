import pytest
import torch
from torch import nn

from foveate.models import create_model
from foveate.models.segmentation.segmenter import resized
from tests.drawn import drawn


def small(scales=(1.0, 0.75, 0.5), **options):
    options = {"encoder": "timm/test_resnet", "width": 16, "hidden": 8, "dropout": 0.0, **options}
    return drawn(create_model("attention_to_scale", classes=3, scales=scales, **options))


def scores(model, x):
    """Return the scores of each scale at the size of the largest, computed one by one."""
    each = []
    for scale in model.scales:
        size = [int(side * scale + 0.5) for side in x.shape[2:]]
        image = nn.functional.interpolate(x, size, mode="bilinear")
        each.append(model.scores(model.features(model.encoder(image)[-1])))
    largest = each[model.scales.index(max(model.scales))]
    return [resized(y, largest, align_corners=True) for y in each]


def expected(model, x, weights):
    weighed = [w * y for w, y in zip(weights, scores(model, x), strict=True)]
    return resized(sum(weighed), x, align_corners=True)


def test_without_weights_it_is_the_mean_of_the_scales():
    model, x = small(), torch.rand(2, 3, 49, 66)
    for parameter in model.attention.parameters():
        nn.init.zeros_(parameter)
    with torch.no_grad():
        torch.testing.assert_close(model(x), expected(model, x, [1 / 3] * 3), rtol=1e-4, atol=1e-5)
        mean = small(kind="mean")
        torch.testing.assert_close(mean(x), expected(mean, x, [1 / 3] * 3), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("chosen", [0, 1, 2])
def test_a_weight_of_one_is_that_scale_alone(chosen):
    model, x = small((0.5, 1.0, 1.5)), torch.rand(1, 3, 33, 47)
    nn.init.zeros_(model.attention.weigh.weight)
    model.attention.weigh.bias.data = torch.full((3,), -50.0)
    model.attention.weigh.bias.data[chosen] = 50.0
    with torch.no_grad():
        weights = [float(number == chosen) for number in range(3)]
        torch.testing.assert_close(model(x), expected(model, x, weights), rtol=1e-4, atol=1e-5)


def test_the_greatest_of_the_scales():
    model, x = small(kind="max"), torch.rand(1, 3, 33, 47)
    with torch.no_grad():
        greatest = torch.stack(scores(model, x)).amax(0)
        torch.testing.assert_close(model(x), resized(greatest, x, align_corners=True), rtol=1e-4, atol=1e-5)


def test_one_scale_is_the_plain_network():
    model, x = small((1.0,)), torch.rand(1, 3, 33, 47)
    with torch.no_grad():
        torch.testing.assert_close(model(x), expected(model, x, [1.0]))


def test_scales_in_another_order_weigh_the_same():
    one, two, x = small((1.0, 0.5)), small((0.5, 1.0)), torch.rand(1, 3, 40, 48)
    two.load_state_dict(one.state_dict())
    see = one.attention.see.weight.data
    two.attention.see.weight.data = torch.cat([see[:, 16:], see[:, :16]], 1)
    for name in ("weight", "bias"):
        getattr(two.attention.weigh, name).data = getattr(one.attention.weigh, name).data.flip(0)
    with torch.no_grad():
        torch.testing.assert_close(one(x), two(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("width, scales, total", [(512, 2, 4_720_130), (1024, 3, 3072 * 4608 + 512 + 1539)])
def test_parameters_of_the_attention(width, scales, total):
    with torch.device("meta"):
        model = create_model("attention_to_scale", classes=21, width=width, scales=(1,) * scales)
    assert sum(p.numel() for p in model.attention.parameters()) == total
