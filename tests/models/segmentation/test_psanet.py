import pytest
import torch
from torch import nn

from tests.authors_resnet import AuthorsResNet, corners, loaded, parameters, shapes_fit
from tests.drawn import drawn, unset


def convolution(channels, out, size=1):
    conv = nn.Conv2d(channels, out, size, padding=size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU())


class PSA(nn.Module):
    """The authors' operator: the masks are laid out pair by pair."""

    def __init__(self, channels, width, side):
        super().__init__()
        self.side = side
        self.reduce, self.reduce_p = convolution(channels, width), convolution(channels, width)
        self.attention = nn.Sequential(*convolution(width, width), nn.Conv2d(width, side**2, 1, bias=False))
        self.attention_p = nn.Sequential(*convolution(width, width), nn.Conv2d(width, side**2, 1, bias=False))
        self.proj = convolution(2 * width, channels)

    def forward(self, x):
        size = [(length - 1) // 2 + 1 for length in x.shape[2:]]
        taken = []
        for reduce, attention, sends in (
            (self.reduce, self.attention, False),
            (self.reduce_p, self.attention_p, True),
        ):
            y = nn.functional.interpolate(reduce(x), size, mode="bilinear", align_corners=True)
            weights = self.spread(attention(y), sends).softmax(dim=1)
            taken.append((y.flatten(2) @ weights).view_as(y))
        read = self.proj(torch.cat(taken, 1))
        return torch.cat([x, corners(read, x)], 1)

    def spread(self, masks, sends):
        height, width = masks.shape[2:]
        half, out = self.side // 2, masks.new_zeros(len(masks), height * width, height * width)
        for here in range(height * width):
            for there in range(height * width):
                down, along = there // width - here // width + half, there % width - here % width + half
                if 0 <= down < self.side and 0 <= along < self.side:
                    weight = masks[:, down * self.side + along, here // width, here % width]
                    out[(slice(None), *((here, there) if sends else (there, here)))] = weight
        return out


class Theirs(nn.Module):
    def __init__(self, depth, channels, classes, side):
        super().__init__()
        net = AuthorsResNet(depth, stem="three", alike=True)
        relu = nn.ReLU()
        self.layer0 = nn.Sequential(
            *(net.conv1, net.bn1, relu, net.conv2, net.bn2, relu, net.conv3, net.bn3, relu), net.maxpool
        )
        self.layer1, self.layer2, self.layer3, self.layer4 = net.layer1, net.layer2, net.layer3, net.layer4
        width, before = channels // 4, channels // 2
        self.psa = PSA(channels, width, side)
        self.cls = nn.Sequential(
            *convolution(2 * channels, width, 3), nn.Dropout2d(0.1), nn.Conv2d(width, classes, 1)
        )
        self.aux = nn.Sequential(
            *convolution(before, before // 4, 3), nn.Dropout2d(0.1), nn.Conv2d(before // 4, classes, 1)
        )

    def forward(self, x):
        third = self.layer3(self.layer2(self.layer1(self.layer0(x))))
        return corners(self.cls(self.psa(self.layer4(third))), x), corners(self.aux(third), x)


@pytest.mark.slow
@pytest.mark.parity("segmentation.psanet")
# The mask covers the halved map of 4 x 3, or not all of it.
@pytest.mark.parametrize("size", [4, pytest.param(2, marks=pytest.mark.nightly)])
def test_a_checkpoint_of_the_authors_computes_what_it_did(tmp_path, size):
    theirs = drawn(unset(Theirs, 18, 512, 5, 2 * size - 1))
    ours = loaded(theirs, "psanet", tmp_path, classes=5, encoder="resnet18", size=size)
    x = torch.rand(2, 3, 49, 33)  # one more than a multiple of 16, as the authors need it
    with torch.no_grad():
        out, aux = theirs(x)
        torch.testing.assert_close(ours(x), out, rtol=1e-4, atol=1e-4)
        ours.training = True
        torch.testing.assert_close(ours(x)["aux"], aux, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_a_checkpoint_of_the_released_network_fits():
    assert shapes_fit(lambda: Theirs(50, 2048, 150, 59), "psanet", classes=150)
    assert shapes_fit(lambda: Theirs(50, 2048, 150, 59), "psanet", classes=150, side=False)


def test_published_parameters():
    assert parameters("psanet", classes=150) == 53_273_836
    assert parameters("psanet", classes=19, size=49) == 59_243_238
