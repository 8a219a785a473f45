import pytest
import torch
from torch import nn

from foveate.models.segmentation.ccnet import CrissCrossHead
from tests.authors_resnet import (
    AuthorsResNet,
    InPlaceABN,
    corners,
    everywhere_in_place,
    loaded,
    parameters,
    shapes_fit,
)
from tests.drawn import drawn, unset


class CrissCross(nn.Module):
    """One round, position by position."""

    def __init__(self, channels):
        super().__init__()
        self.query_conv = nn.Conv2d(channels, channels // 8, 1)
        self.key_conv = nn.Conv2d(channels, channels // 8, 1)
        self.value_conv = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        query, key, value = self.query_conv(x), self.key_conv(x), self.value_conv(x)
        out = x.clone()
        height, width = x.shape[2:]
        for i in range(height):
            for j in range(width):
                seen = [(k, j) for k in range(height) if k != i] + [(i, k) for k in range(width)]
                rows, columns = [list(axis) for axis in zip(*seen, strict=True)]
                energy = (query[:, :, i, j, None] * key[:, :, rows, columns]).sum(1)
                read = (value[:, :, rows, columns] * energy.softmax(-1)[:, None]).sum(-1)
                out[:, :, i, j] += self.gamma * read
        return out


class Theirs(AuthorsResNet):
    """The authors' network, which returns the scores and those of the side head, at stride 8."""

    def __init__(self, depth, channels, classes):
        super().__init__(depth, stem="three", alike=True, ceil=True)
        width, before = channels // 4, channels // 2
        self.head = nn.Module()
        self.head.conva = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1, bias=False), InPlaceABN(width)
        )
        self.head.cca = CrissCross(width)
        self.head.convb = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), InPlaceABN(width))
        self.head.bottleneck = nn.Sequential(
            nn.Conv2d(channels + width, width, 3, padding=1, bias=False),
            InPlaceABN(width),
            nn.Dropout2d(0.1),
            nn.Conv2d(width, classes, 1),
        )
        self.dsn = nn.Sequential(
            nn.Conv2d(before, before // 2, 3, padding=1),
            InPlaceABN(before // 2),
            nn.Dropout2d(0.1),
            nn.Conv2d(before // 2, classes, 1),
        )

    def forward(self, x):
        *_, third, last = self.maps(x)
        y = self.head.conva(last)
        y = self.head.convb(self.head.cca(self.head.cca(y)))
        return self.head.bottleneck(torch.cat([last, y], 1)), self.dsn(third)


@pytest.mark.slow
@pytest.mark.parity("segmentation.ccnet")
def test_a_checkpoint_of_the_authors_computes_what_it_did(tmp_path):
    theirs = drawn(everywhere_in_place(unset(Theirs, 18, 512, 5)))
    for module in theirs.modules():
        if isinstance(module, InPlaceABN):
            module.weight.data[::2].neg_()  # such a layer does not see the sign
    ours = loaded(theirs, "ccnet", tmp_path, classes=5, encoder="resnet18")
    x = torch.rand(1, 3, 48, 33)
    with torch.no_grad():
        out, aux = theirs(x)
        assert out.shape[2:] == (7, 5)  # 24 x 17, pooled to 13 x 9: rounded up
        torch.testing.assert_close(ours(x), corners(out, x), rtol=1e-4, atol=1e-4)
        ours.training = True
        torch.testing.assert_close(ours(x)["aux"], corners(aux, x), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_a_checkpoint_of_the_released_network_fits():
    assert shapes_fit(lambda: Theirs(101, 2048, 19), "ccnet", classes=19)
    assert shapes_fit(lambda: Theirs(101, 2048, 19), "ccnet", classes=19, side=False)


@pytest.mark.slow
def test_published_parameters():
    assert parameters("ccnet", classes=19) == 71_287_911
    with torch.device("meta"):
        assert sum(p.numel() for p in CrissCrossHead(2048, 19).parameters()) == 23_934_100
    assert parameters("ccnet", classes=19) - parameters("ccnet", classes=19, side=False) == 4_729_875


def test_after_two_rounds_every_position_counts_and_after_one_its_row_and_column():
    x = torch.randn(1, 32, 5, 6)
    for recurrence, reached in ((1, 10), (2, 30)):
        head = drawn(CrissCrossHead(32, 2, recurrence=recurrence))
        nn.init.ones_(head.attention.gamma)
        seen = x[:, :8].clone().requires_grad_()
        head.attention(seen)[0, :, 1, 2].sum().backward()
        assert (seen.grad.abs().sum(1) > 0).sum() == reached
