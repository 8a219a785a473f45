import pytest
import torch
from torch import nn

from foveate.models.segmentation.encnet import EncodingHead
from tests.authors_resnet import AuthorsResNet, corners, loaded, shapes_fit
from tests.drawn import drawn, unset


def convolution(channels, out, size=3):
    conv = nn.Conv2d(channels, out, size, padding=size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU())


class Encoding(nn.Module):
    """Every position's difference to every codeword, formed."""

    def __init__(self, channels, codewords):
        super().__init__()
        self.codewords = nn.Parameter(torch.empty(codewords, channels))
        self.scale = nn.Parameter(torch.empty(codewords))

    def forward(self, x):
        away = x.flatten(2).mT[:, :, None] - self.codewords  # (B, N, K, C)
        near = (self.scale * away.square().sum(-1)).softmax(-1)
        return (near[..., None] * away).sum(1)


class Mean(nn.Module):
    def forward(self, x):
        return x.mean(dim=1)


class Theirs(nn.Module):
    def __init__(self, depth, channels, classes, *, lateral=False):
        super().__init__()
        self.pretrained = AuthorsResNet(depth, stem="deep")
        width, h = channels // 4, nn.Module()
        h.conv5 = convolution(channels, width)
        if lateral:
            h.connect = nn.ModuleList(convolution(c, width, 1) for c in (channels // 4, channels // 2))
            h.fusion = convolution(3 * width, width)
        h.encmodule = nn.Module()
        h.encmodule.encoding = nn.Sequential(
            *convolution(width, width, 1), Encoding(width, 32), nn.BatchNorm1d(32), nn.ReLU(), Mean()
        )
        h.encmodule.fc = nn.Sequential(nn.Linear(width, width), nn.Sigmoid())
        h.encmodule.selayer = nn.Linear(width, classes)
        h.conv6 = nn.Sequential(nn.Dropout2d(0.1), nn.Conv2d(width, classes, 1))
        self.head, self.auxlayer, before = h, nn.Module(), channels // 2
        last = nn.Dropout2d(0.1), nn.Conv2d(before // 4, classes, 1)
        self.auxlayer.conv5 = nn.Sequential(*convolution(before, before // 4), *last)

    def forward(self, x):
        _, second, third, y = self.pretrained.maps(x)
        h = self.head
        y = h.conv5(y)
        if hasattr(h, "fusion"):
            y = h.fusion(torch.cat([y, h.connect[0](second), h.connect[1](third)], 1))
        code = h.encmodule.encoding(y)
        y = (y + y * h.encmodule.fc(code)[:, :, None, None]).relu()
        return corners(h.conv6(y), x), h.encmodule.selayer(code), corners(self.auxlayer.conv5(third), x)


@pytest.mark.parity("segmentation.encnet")
@pytest.mark.parametrize("lateral", [pytest.param(False, marks=pytest.mark.nightly), True])
def test_a_checkpoint_of_the_authors_computes_what_it_did(tmp_path, lateral):
    theirs = drawn(unset(Theirs, 18, 512, 5, lateral=lateral))
    ours = loaded(theirs, "encnet", tmp_path, classes=5, encoder="resnet18", lateral=lateral)
    x = torch.rand(2, 3, 40, 33)
    with torch.no_grad():
        expected = theirs(x)
        torch.testing.assert_close(ours(x), expected[0], rtol=1e-4, atol=1e-4)
        ours.training = ours.head.training = True
        logits = ours(x)
    for output, y in zip(("out", "presence", "aux"), expected, strict=True):
        torch.testing.assert_close(logits[output], y, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("lateral", [False, True])
def test_a_checkpoint_of_the_released_network_fits(lateral):
    fits = shapes_fit(lambda: Theirs(50, 2048, 150, lateral=lateral), "encnet", classes=150, lateral=lateral)
    assert fits


@pytest.mark.slow
def test_what_only_training_needs_is_left_out():
    assert shapes_fit(lambda: Theirs(101, 2048, 150), "encnet", classes=150, encoder="resnet101", side=False)
    assert shapes_fit(lambda: Theirs(50, 2048, 150), "encnet", classes=150, presence=False)


def test_parameters_of_the_module():
    with torch.device("meta"):
        head = EncodingHead((2048,), 150)
    assert sum(p.numel() for part in (head.attention, head.presence) for p in part.parameters()) == 619_254
