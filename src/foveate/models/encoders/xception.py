"""Xception as an encoder: separable convolutions, pooled between the blocks.

Paper   Chollet. Xception: Deep Learning with Depthwise Separable Convolutions. CVPR 2017. arXiv:1610.02357,
        figure 5.
Shapes  images (B, C, H, W) -> 64, 128, 256, 728 and 2048 channels at strides 2, 4, 8, 16 and 32; the first
        two convolutions have no padding.
Cost    20,806,952 parameters for 3 channels.
Differs none, and the names of weights are those of timm's legacy_xception. layout="vainf" is that of
        VainF/DeepLabV3Plus-Pytorch: it ends with the last convolution, not with what follows it, and
        where the last two are dilated their padding stays 1, so that the map shrinks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import ShapeError
from foveate.models.encoders.encoder import STRIDES, Encoder
from foveate.options import one_of

MIDDLE = range(4, 12)  # the blocks of the middle flow


class Xception(Encoder):
    """Chollet's network, under the names of weights that timm has.

    Args:
        output_stride: The greatest stride; blocks that would go beyond are dilated.
        layout: ``"chollet"`` or ``"vainf"``; see Differs.

    Raises:
        OptionError: ``layout`` is unknown.
    """

    def __init__(self, *, output_stride: int = 32, layout: Literal["chollet", "vainf"] = "chollet") -> None:
        super().__init__()
        one_of("layout", layout, ("chollet", "vainf"))
        self.finished, self.in_channels = layout == "chollet", 3
        self.conv1, self.bn1 = nn.Conv2d(3, 32, 3, stride=2, bias=False), nn.BatchNorm2d(32)
        self.conv2, self.bn2 = nn.Conv2d(32, 64, 3, bias=False), nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        middle, last = max(1, 16 // output_stride), max(1, 32 // output_stride)
        self.block1 = Block(64, (128, 128), stride=2, relu=False)
        self.block2 = Block(128, (256, 256), stride=2)
        self.block3 = Block(256, (728, 728), stride=2 if middle == 1 else 1, dilation=middle)
        for number in MIDDLE:
            self.add_module(f"block{number}", Block(728, (728, 728, 728), dilation=middle))
        self.block12 = Block(728, (728, 1024), stride=2 if last == 1 else 1, dilation=last)
        padding = last if self.finished else 1
        self.shrinks = 2 * (last - padding)
        self.conv3, self.bn3 = Separable(1024, 1536, last, padding), nn.BatchNorm2d(1536)
        self.conv4 = Separable(1536, 2048, last, padding)
        self.bn4 = nn.BatchNorm2d(2048) if self.finished else nn.Identity()
        self.channels = (64, 128, 256, 728, 2048)
        self.strides = tuple(min(stride, output_stride) for stride in STRIDES)

    def maps(self, x: Float[Tensor, "b c h w"]) -> Iterator[Float[Tensor, "b _ _ _"]]:
        """Yield the maps of the stem, of the first two blocks, of the middle flow and of all."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        yield x
        x = self.block1(x)
        yield x
        x = self.block2(x)
        yield x
        x = self.block3(x)
        for number in MIDDLE:
            x = self.get_submodule(f"block{number}")(x)
        yield x
        x = self.block12(x)
        if min(x.shape[2:]) <= 2 * self.shrinks:
            raise ShapeError(
                f"Xception: its last two convolutions take {self.shrinks} rows and columns each, of a map of "
                f"{x.shape[2]}x{x.shape[3]}. Give larger images, or build it with output_stride=32."
            )
        x = self.conv4(self.relu(self.bn3(self.conv3(x))))
        yield self.bn4(x).relu() if self.finished else x


class Separable(nn.Module):
    """A depthwise 3 x 3 convolution, then a pointwise one, with nothing between."""

    def __init__(self, channels: int, width: int, dilation: int = 1, padding: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(
            channels, channels, 3, padding=padding, dilation=dilation, groups=channels, bias=False
        )
        self.pointwise = nn.Conv2d(channels, width, 1, bias=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Return the map of ``width`` channels."""
        y: Tensor = self.pointwise(self.conv1(x))
        return y


class Block(nn.Module):
    """Separable convolutions, each behind a ReLU, perhaps a pooling, and a shortcut.

    Args:
        channels: Channels that come in.
        widths: Those after each convolution.
        stride: 2 halves the size.
        dilation: Of every convolution.
        relu: Whether the first convolution has a ReLU before it too.
    """

    def __init__(
        self, channels: int, widths: tuple[int, ...], *, stride: int = 1, dilation: int = 1, relu: bool = True
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, (come, go) in enumerate(zip((channels, *widths), widths, strict=False)):
            layers += [nn.ReLU(inplace=number > 0)] if number or relu else []
            layers += [Separable(come, go, dilation, dilation), nn.BatchNorm2d(go)]
        self.rep = nn.Sequential(*layers, *([nn.MaxPool2d(3, stride, 1)] if stride > 1 else []))
        keeps = stride == 1 and channels == widths[-1]
        self.skip = nn.Identity() if keeps else nn.Conv2d(channels, widths[-1], 1, stride=stride, bias=False)
        self.skipbn = nn.Identity() if keeps else nn.BatchNorm2d(widths[-1])

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Return the sum of both ways."""
        y: Tensor = self.rep(x) + self.skipbn(self.skip(x))
        return y
