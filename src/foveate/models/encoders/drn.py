"""Dilated residual networks as encoders: stride 8 throughout, and no pooling in front.

Paper   Yu, Koltun, Funkhouser. Dilated Residual Networks. CVPR 2017. arXiv:1705.09914, sections 2 and 4.
Shapes  images (B, C, H, W) -> 16 and 32 channels at strides 1 and 2, and those of the blocks at 4, 8 and 8.
Cost    drn_d_22 15,880,752, drn_d_38 25,988,912, drn_d_54 35,296,176, drn_d_105 54,288,304 parameters.
Differs none: the D form, under its authors' names of weights.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping

from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.models.encoders.encoder import Encoder

STRIDE = 8
WIDTHS = (16, 32, 64, 128, 256, 512, 512, 512)
_PLANS: dict[str, tuple[bool, tuple[int, ...]]] = {  # of blocks of three convolutions; how many in each level
    "drn_d_22": (False, (1, 1, 2, 2, 2, 2, 1, 1)),
    "drn_d_24": (False, (1, 1, 2, 2, 2, 2, 2, 2)),
    "drn_d_38": (False, (1, 1, 3, 4, 6, 3, 1, 1)),
    "drn_d_40": (False, (1, 1, 3, 4, 6, 3, 2, 2)),
    "drn_d_54": (True, (1, 1, 3, 4, 6, 3, 1, 1)),
    "drn_d_105": (True, (1, 1, 3, 4, 23, 3, 1, 1)),
}


class DRN(Encoder):
    """A dilated residual network of form D.

    Args:
        bottleneck: Whether a block is 1 x 1, 3 x 3, 1 x 1 and widens by 4, or twice 3 x 3.
        levels: Convolutions or blocks of each of the eight levels.
        output_stride: 8, the only stride that the network has.

    Raises:
        OptionError: ``output_stride`` is another.
    """

    def __init__(self, bottleneck: bool, levels: tuple[int, ...], *, output_stride: int = STRIDE) -> None:
        super().__init__()
        if output_stride != STRIDE:
            raise OptionError(
                f"output_stride: got {output_stride}, expected {STRIDE} for a DRN. Pass output_stride=8."
            )
        self.layer0 = nn.Sequential(
            nn.Conv2d(3, WIDTHS[0], 7, padding=3, bias=False),
            nn.BatchNorm2d(WIDTHS[0]),
            nn.ReLU(inplace=True),
        )
        self.layer1 = _convolutions(WIDTHS[0], WIDTHS[0], levels[0])
        self.layer2 = _convolutions(WIDTHS[0], WIDTHS[1], levels[1], stride=2)
        channels, made = WIDTHS[1], []
        for level, (stride, dilation) in enumerate(((2, 1), (2, 1), (1, 2), (1, 4)), start=2):
            blocks: list[nn.Module] = []
            for number in range(levels[level]):
                block = Block(channels, WIDTHS[level], stride if number == 0 else 1, dilation, bottleneck)
                channels = block.out_channels
                blocks.append(block)
            made.append(nn.Sequential(*blocks))
        self.layer3, self.layer4, self.layer5, self.layer6 = made
        self.layer7 = _convolutions(channels, WIDTHS[6], levels[6], dilation=2)
        self.layer8 = _convolutions(WIDTHS[6], WIDTHS[7], levels[7])
        widen = 4 if bottleneck else 1
        self.channels = (WIDTHS[0], WIDTHS[1], WIDTHS[2] * widen, WIDTHS[3] * widen, WIDTHS[7])
        self.strides, self.in_channels = (1, 2, 4, STRIDE, STRIDE), 3

    def maps(self, x: Float[Tensor, "b c h w"]) -> Iterator[Float[Tensor, "b _ _ _"]]:
        """Yield the maps of the first four levels and the last."""
        x = self.layer1(self.layer0(x))
        yield x
        for layer in (self.layer2, self.layer3, self.layer4):
            x = layer(x)
            yield x
        for layer in (self.layer5, self.layer6, self.layer7):
            x = layer(x)
        yield self.layer8(x)

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the authors' weights without those of the classifier."""
        return {name: value for name, value in state.items() if not name.startswith("fc.")}


class Block(nn.Module):
    """A residual block whose 3 x 3 convolutions are dilated."""

    def __init__(self, channels: int, width: int, stride: int, dilation: int, bottleneck: bool) -> None:
        super().__init__()
        self.out_channels = 4 * width if bottleneck else width
        if bottleneck:
            self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
            self.conv2 = nn.Conv2d(width, width, 3, stride, dilation, dilation, bias=False)
            self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        else:
            self.conv1 = nn.Conv2d(channels, width, 3, stride, dilation, dilation, bias=False)
            self.conv2 = nn.Conv2d(width, width, 3, 1, dilation, dilation, bias=False)
        self.bn1, self.bn2, self.bottleneck = nn.BatchNorm2d(width), nn.BatchNorm2d(width), bottleneck
        self.relu = nn.ReLU(inplace=True)
        keeps = stride == 1 and channels == self.out_channels
        conv = nn.Conv2d(channels, self.out_channels, 1, stride=stride, bias=False)
        self.downsample = nn.Identity() if keeps else nn.Sequential(conv, nn.BatchNorm2d(self.out_channels))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Return the sum of both ways, rectified."""
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        if self.bottleneck:
            y = self.bn3(self.conv3(self.relu(y)))
        z: Tensor = self.relu(y + self.downsample(x))
        return z


def _convolutions(
    channels: int, width: int, count: int, *, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number in range(count):
        come, step = (channels, stride) if number == 0 else (width, 1)
        conv = nn.Conv2d(come, width, 3, step, dilation, dilation, bias=False)
        layers += [conv, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


DRNS: dict[str, Callable[..., Encoder]] = {
    name: functools.partial(DRN, *plan) for name, plan in _PLANS.items()
}
