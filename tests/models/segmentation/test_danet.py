import pytest
import torch
from torch import nn

import foveate as fv
from foveate.models.segmentation.danet import DualHead
from tests.authors_resnet import AuthorsResNet, corners, loaded, parameters, shapes_fit
from tests.drawn import drawn, unset


def convolution(channels, out):
    return nn.Sequential(nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU())


def scores(channels, classes):
    return nn.Sequential(nn.Dropout2d(0.1), nn.Conv2d(channels, classes, 1))


class Attention(nn.Module):
    def __init__(self, channels=None):
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))
        if channels is not None:
            self.query_conv = nn.Conv2d(channels, channels // 8, 1)
            self.key_conv = nn.Conv2d(channels, channels // 8, 1)
            self.value_conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        flat = x.flatten(2)
        if hasattr(self, "query_conv"):
            query, key, value = (f(x).flatten(2) for f in (self.query_conv, self.key_conv, self.value_conv))
            read = value @ torch.softmax(query.mT @ key, dim=-1).mT
        else:
            energy = flat @ flat.mT
            read = torch.softmax(energy.amax(dim=-1, keepdim=True) - energy, dim=-1) @ flat
        return self.gamma * read.view_as(x) + x


class Theirs(nn.Module):
    """The authors' network: their names, their three outputs, fused first."""

    def __init__(self, depth, channels, classes, *, grid=None, side=False):
        super().__init__()
        self.pretrained = AuthorsResNet(depth, grid=grid)
        self.pretrained.fc = nn.Linear(channels, 7)
        width, self.head = channels // 4, nn.Module()
        self.head.conv5a, self.head.conv5c = convolution(channels, width), convolution(channels, width)
        self.head.sa, self.head.sc = Attention(width), Attention()
        self.head.conv51, self.head.conv52 = convolution(width, width), convolution(width, width)
        self.head.conv6, self.head.conv7, self.head.conv8 = (scores(width, classes) for _ in range(3))
        if side:
            self.auxlayer = nn.Module()
            before = channels // 2
            self.auxlayer.conv5 = nn.Sequential(
                *convolution(before, before // 4), *scores(before // 4, classes)
            )

    def forward(self, x):
        y, h = self.pretrained.maps(x)[-1], self.head
        position, channel = h.conv51(h.sa(h.conv5a(y))), h.conv52(h.sc(h.conv5c(y)))
        return [corners(s, x) for s in (h.conv8(position + channel), h.conv6(position), h.conv7(channel))]


@pytest.mark.slow
@pytest.mark.parity("segmentation.danet")
@pytest.mark.parametrize("grid", [pytest.param(None, marks=pytest.mark.nightly), (1, 2)])
def test_a_checkpoint_of_the_authors_computes_what_it_did(tmp_path, grid):
    theirs = drawn(unset(Theirs, 18, 512, 5, grid=grid))
    ours = loaded(theirs, "danet", tmp_path, classes=5, encoder="resnet18", multi_grid=grid)
    x = torch.rand(2, 3, 65, 49)
    with torch.no_grad():
        expected = theirs(x)
        torch.testing.assert_close(ours(x), expected[0], rtol=1e-4, atol=1e-4)
        ours.training = ours.head.training = True  # the auxiliary heads, with statistics as in evaluation
        logits = ours(x)
    for output, y in zip(("out", "aux_position", "aux_channel"), expected, strict=True):
        torch.testing.assert_close(logits[output], y, rtol=1e-4, atol=1e-4)


def test_scores_for_another_number_of_classes_start_anew(tmp_path):
    torch.save(drawn(unset(Theirs, 18, 512, 19)).state_dict(), tmp_path / "published.pth")
    model = unset(fv.create_model, "danet", classes=5, encoder="resnet18")
    fresh = fv.load_published(model, tmp_path / "published.pth")
    heads = ("position_scores", "channel_scores", "scores")
    assert fresh == tuple(f"head.{head}.1.{part}" for head in heads for part in ("weight", "bias"))


@pytest.mark.slow
@pytest.mark.parametrize("side", [pytest.param(False, marks=pytest.mark.nightly), True])
def test_a_checkpoint_of_the_released_network_fits(side):
    assert shapes_fit(
        lambda: Theirs(101, 2048, 19, side=side), "danet", classes=19, multi_grid=(1, 2, 4), side=side
    )


@pytest.mark.slow
def test_side_heads_that_a_model_does_without_are_left_out():
    assert shapes_fit(lambda: Theirs(50, 2048, 19, side=True), "danet", classes=19, encoder="resnet50")


@pytest.mark.parametrize("classes, total", [(19, 23_954_619), (21, 23_957_697), (59, 24_016_179)])
def test_published_parameters_of_the_head(classes, total):
    with torch.device("meta"):
        assert sum(p.numel() for p in DualHead(2048, classes).parameters()) == total


@pytest.mark.parametrize(
    "encoder, total",
    [("resnet50", 47_462_651), pytest.param("resnet101", 66_454_779, marks=pytest.mark.slow)],
)
def test_published_parameters(encoder, total):
    assert parameters("danet", classes=19, encoder=encoder) == total


def test_fresh_attention_leaves_the_map_alone_bit_by_bit():
    head = DualHead(32, 3)
    x = torch.randn(2, 8, 5, 6)
    assert torch.equal(head.position(x), x) and torch.equal(head.channel(x), x)
