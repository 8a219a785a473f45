import pytest
import torch
from torch import nn

from foveate.errors import OptionError, ShapeError
from foveate.models.classification.resnet_small import DEPTHS, SmallResNet
from foveate.models.names import models


@pytest.mark.parametrize(("depth", "million"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
def test_parameters_are_those_of_the_papers_table_6(depth, million):
    count = sum(p.numel() for p in SmallResNet(depth, classes=10).parameters())
    assert count / 1e6 == pytest.approx(million, abs=0.05 if depth == 110 else 0.006)


@pytest.mark.parametrize("width", [4, 16, 23])
@pytest.mark.parametrize("depth", [8, 20])
def test_parameters_by_closed_form(depth, width):
    n = (depth - 2) // 6
    kernels = 27 * width + 9 * width**2 * (2 * n + (2 + 4 * (2 * n - 1)) + (8 + 16 * (2 * n - 1)))
    norms = 2 * width * (1 + 2 * n + 4 * n + 8 * n)
    expected = kernels + norms + 4 * width * 7 + 7
    assert sum(p.numel() for p in SmallResNet(depth, classes=7, width=width).parameters()) == expected


@pytest.mark.parametrize("depth", DEPTHS)
def test_layers_with_weights_are_as_many_as_the_name_says(depth):
    layers = [
        m for m in SmallResNet(depth, classes=2, width=1).modules() if isinstance(m, nn.Conv2d | nn.Linear)
    ]
    assert len(layers) == depth


@pytest.mark.parametrize("size", [(8, 8), (9, 13), (32, 32), (47, 8)])
def test_takes_any_size(size):
    assert models["resnet8"](classes=5, width=3)(torch.rand(2, 3, *size)).shape == (2, 5)


def test_an_image_that_is_too_small_is_refused():
    with pytest.raises(ShapeError, match=r"\(2, 3, 7, 32\).*at least 8 pixels"):
        SmallResNet(8, classes=2)(torch.rand(2, 3, 7, 32))


@pytest.mark.parametrize(("depth", "options"), [(9, {}), (2, {}), (8, {"width": 0}), (8, {"classes": 0})])
def test_impossible_options_are_refused(depth, options):
    with pytest.raises(OptionError):
        SmallResNet(depth, **{"classes": 2, **options})


def test_shortcuts_pass_every_second_pixel_and_add_empty_channels():
    model = SmallResNet(8, classes=2, width=3).eval()
    block = model.layer2[0]
    for norm in (block.bn1, block.bn2):
        nn.init.zeros_(norm.weight)  # only the shortcut is left
    x = torch.rand(1, 3, 9, 8)
    y = block(x)
    assert y.shape == (1, 6, 5, 4)
    assert torch.equal(y[:, 1:4], x[:, :, ::2, ::2])
    assert y[:, 0].abs().sum() == y[:, 4:].abs().sum() == 0


def test_keeps_channels_last():
    x = torch.rand(2, 3, 12, 12).contiguous(memory_format=torch.channels_last)
    model = SmallResNet(8, classes=2, width=4).to(memory_format=torch.channels_last)
    seen = []
    model.layer3.register_forward_hook(
        lambda m, a, y: seen.append(y.is_contiguous(memory_format=torch.channels_last))
    )
    model(x)
    assert seen == [True]
