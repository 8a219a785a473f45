"""Xception as an encoder: BiSeNet's small one of 39 layers, and DeepLabv3+'s modified one of 65.

Paper   Chollet. Xception: Deep Learning with Depthwise Separable Convolutions. CVPR 2017. arXiv:1610.02357;
        65: Chen et al. Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation.
        ECCV 2018. arXiv:1802.02611, section 3.2; 39: Yu et al. BiSeNet. ECCV 2018. arXiv:1808.00897,
        section 3.2.
Shapes  images (B, C, H, W) -> 39: 8, 8, 64, 128 and 256 channels at strides 2, 4, 8, 16 and 32; 65: 64, 256
        (or 128), 256, 728 and 2048 at the same.
Cost    39: 299,448 parameters, 65: 37,867,312, for 3 channels.
Differs nothing from the authors' code. For 65 the paper has a ReLU after every depthwise convolution
        (middle_relu=True), their code in the exit flow only; low_level="block1" takes the first block's 128
        channels for the fine map, as jfzhang95/pytorch-deeplab-xception does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.models.segmentation.backbones import STRIDES, Encoder, dilate

MIDDLE = 16  # blocks of the middle flow


class Xception39(Encoder):
    """BiSeNet's Xception, under its authors' names of weights.

    Args:
        output_stride: The greatest stride.
    """

    def __init__(self, *, output_stride: int = 32) -> None:
        super().__init__()
        self.conv1 = ConvNorm(3, 8, 3, stride=2, relu=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage39(8, 16, 4)
        self.layer2 = _stage39(64, 32, 8)
        self.layer3 = _stage39(128, 64, 4)
        dilate({8: self.layer1, 16: self.layer2, 32: self.layer3}, output_stride, False)
        self.channels, self.in_channels = (8, 8, 64, 128, 256), 3
        self.strides = tuple(min(stride, output_stride) for stride in STRIDES)

    def maps(self, x: Float[Tensor, "b c h w"]) -> Iterator[Float[Tensor, "b _ _ _"]]:
        """Yield the maps of the first convolution, of the pooling and of the three stages."""
        for layer in (self.conv1, self.maxpool, self.layer1, self.layer2, self.layer3):
            x = layer(x)
            yield x


class ConvNorm(nn.Module):
    """A convolution that keeps the size for stride 1, normalised, perhaps rectified."""

    def __init__(self, channels: int, width: int, kernel_size: int, *, stride: int = 1, relu: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            channels, width, kernel_size, stride=stride, padding=kernel_size // 2, bias=False
        )
        self.bn = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True) if relu else nn.Identity()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Return the normalised map."""
        y: Tensor = self.relu(self.bn(self.conv(x)))
        return y


class Separable39(nn.Module):
    """A depthwise 3 x 3 convolution, then a pointwise one, normalised, perhaps rectified."""

    def __init__(self, channels: int, width: int, *, stride: int = 1, relu: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, stride=stride, padding=1, groups=channels, bias=False)
        self.point_wise_cbr = ConvNorm(channels, width, 1, relu=relu)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Return the map of ``width`` channels."""
        y: Tensor = self.point_wise_cbr(self.conv1(x))
        return y


class Block39(nn.Module):
    """Three separable convolutions and a shortcut around them."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        out = 4 * width
        keeps = stride == 1
        self.proj = nn.Identity() if keeps else Separable39(channels, out, stride=stride, relu=False)
        self.residual_branch = nn.Sequential(
            Separable39(channels, width, stride=stride),
            Separable39(width, width),
            Separable39(width, out, relu=False),
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Return the sum of both ways, rectified."""
        y: Tensor = self.relu(self.residual_branch(x) + self.proj(x))
        return y


class Xception65(Encoder):
    """DeepLabv3+'s modified aligned Xception.

    Args:
        output_stride: The greatest stride.
        low_level: Where the map at stride 4 comes from: ``"block2"``, 256 channels before the second block
            halves the size (authors), or ``"block1"``, the first block's 128.
        middle_relu: Whether a ReLU follows every depthwise convolution (paper), or those of the exit flow.
    """

    def __init__(
        self,
        *,
        output_stride: int = 32,
        low_level: Literal["block1", "block2"] = "block2",
        middle_relu: bool = False,
    ) -> None:
        super().__init__()
        if low_level not in ("block1", "block2"):
            raise OptionError(f'low_level: got {low_level!r}, expected "block1" or "block2"')
        self.low_level, self.in_channels = low_level, 3
        self.stem = nn.Sequential(ConvNorm(3, 32, 3, stride=2, relu=True), ConvNorm(32, 64, 3, relu=True))
        self.block1 = Block65(64, (128, 128, 128), middle_relu, stride=2)
        self.block2 = Block65(128, (256, 256, 256), middle_relu, stride=2)
        self.block3 = Block65(256, (728, 728, 728), middle_relu, stride=2)
        self.middle = nn.Sequential(*(Block65(728, (728,) * 3, middle_relu) for _ in range(MIDDLE)))
        self.exit = Block65(728, (728, 1024, 1024), middle_relu, stride=2)
        widths = ((1024, 1536), (1536, 1536), (1536, 2048))
        self.last = nn.Sequential(*(Separable(a, b, relu=True, out_relu=True) for a, b in widths))
        dilate({16: [self.block3, *self.middle], 32: [self.exit, self.last]}, output_stride, False)
        self.channels = (64, 128 if low_level == "block1" else 256, 256, 728, 2048)
        self.strides = tuple(min(stride, output_stride) for stride in STRIDES)

    def maps(self, x: Float[Tensor, "b c h w"]) -> Iterator[Float[Tensor, "b _ _ _"]]:
        """Yield the maps of the stem, at stride 4, of the second block, the middle and the exit flow."""
        x = self.stem(x)
        yield x
        x = self.block1(x)
        fine = self.block2.finer(x)
        yield x.relu() if self.low_level == "block1" else fine
        x = self.block2.finish(x, fine)
        del fine
        yield x
        x = self.middle(self.block3(x))
        yield x
        yield self.last(self.exit(x))


class Separable(nn.Sequential):
    """A depthwise 3 x 3 and a pointwise convolution, both normalised.

    Args:
        channels: Channels that come in.
        width: Channels that go out.
        stride: 1 keeps the size, 2 halves it.
        relu: Whether a ReLU follows the depthwise convolution.
        out_relu: Whether one follows the pointwise convolution.
    """

    def __init__(
        self, channels: int, width: int, *, stride: int = 1, relu: bool = False, out_relu: bool = False
    ) -> None:
        super().__init__(
            nn.Conv2d(channels, channels, 3, stride=stride, padding=1, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True) if relu else nn.Identity(),
            nn.Conv2d(channels, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True) if out_relu else nn.Identity(),
        )


class Block65(nn.Module):
    """Three separable convolutions, each behind a ReLU, and a shortcut; the last may halve the size."""

    def __init__(self, channels: int, widths: Sequence[int], relu: bool, *, stride: int = 1) -> None:
        super().__init__()
        first, second, third = widths
        self.finer = nn.Sequential(
            nn.ReLU(),
            Separable(channels, first, relu=relu),
            nn.ReLU(inplace=True),
            Separable(first, second, relu=relu),
        )
        self.coarser = nn.Sequential(nn.ReLU(), Separable(second, third, relu=relu, stride=stride))
        keeps = stride == 1 and channels == third
        self.skip = nn.Identity() if keeps else ConvNorm(channels, third, 1, stride=stride, relu=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Return the sum of both ways."""
        return self.finish(x, self.finer(x))

    def finish(self, x: Tensor, fine: Tensor) -> Tensor:
        """Return the sum, given what the first two convolutions made of ``x``."""
        y: Tensor = self.coarser(fine) + self.skip(x)
        return y


def _stage39(channels: int, width: int, blocks: int) -> nn.Sequential:
    rest = (Block39(4 * width, width, 1) for _ in range(blocks - 1))
    return nn.Sequential(Block39(channels, width, 2), *rest)


XCEPTIONS: dict[str, Callable[..., Encoder]] = {"xception39": Xception39, "xception65": Xception65}
