"""Xception as an encoder: BiSeNet's small one of 39 layers, and DeepLabv3+'s modified one of 65.

Paper   Chollet. Xception: Deep Learning with Depthwise Separable Convolutions. CVPR 2017. arXiv:1610.02357;
        65: Chen et al. Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation.
        ECCV 2018. arXiv:1802.02611, section 3.2; 39: Yu et al. BiSeNet. ECCV 2018. arXiv:1808.00897,
        section 3.2.
Shapes  images (B, C, H, W) -> 39: 8, 8, 64, 128 and 256 channels at strides 2, 4, 8, 16 and 32; 65: 64, 256
        (or 128), 256, 728 and 2048 at the same.
Cost    39: 299,448 parameters, 65: 37,867,312, for 3 channels.
Differs 39: nothing. 65: normalisations add 1e-5 to a variance, as everywhere in PyTorch; the authors' code,
        and weights converted from it (timm's, whose names load), add 1e-3 (eps=1e-3). The paper has a ReLU
        after every depthwise convolution (middle_relu=True), their code in the exit flow only.
        layout="jfzhang95" is that of jfzhang95/pytorch-deeplab-xception, whose names load: shortcuts carry
        what a block's first ReLU lets through, the exit flow has its ReLUs before the depthwise convolutions,
        the last convolution before them is never dilated, and the first block's 128 channels are the fine map
        (low_level="block1").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.models.encoders.backbones import STRIDES, Encoder, dilate
from foveate.models.encoders.xception_names import ours
from foveate.models.encoders.xception_original import Xception
from foveate.options import one_of, positive

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
            halves the size (authors), or ``"block1"``, the first block's 128; None for the layout's.
        middle_relu: Whether a ReLU follows every depthwise convolution (paper), or those of the exit flow.
        eps: What the normalisations add to a variance. Authors: 1e-3; jfzhang95: 1e-5.
        layout: ``"authors"`` or ``"jfzhang95"``; see Differs.

    Raises:
        OptionError: An option has an impossible value.
    """

    def __init__(
        self,
        *,
        output_stride: int = 32,
        low_level: Literal["block1", "block2"] | None = None,
        middle_relu: bool = False,
        eps: float = 1e-5,
        layout: Literal["authors", "jfzhang95"] = "authors",
    ) -> None:
        super().__init__()
        one_of("layout", layout, ("authors", "jfzhang95"))
        self.rectified = layout == "jfzhang95"
        if low_level is None:
            low_level = "block1" if self.rectified else "block2"
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
        relu = not self.rectified
        self.last = nn.Sequential(*(Separable(a, b, relu=relu, out_relu=True) for a, b in widths))
        dilate({16: [self.block3, *self.middle], 32: [self.exit, self.last]}, output_stride, False)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = positive("eps", eps)
            if isinstance(module, Block65):
                module.rectified = self.rectified
        if self.rectified:
            self.exit.look_near()
        self.channels = (64, 128 if low_level == "block1" else 256, 256, 728, 2048)
        self.strides = tuple(min(stride, output_stride) for stride in STRIDES)

    def maps(self, x: Float[Tensor, "b c h w"]) -> Iterator[Float[Tensor, "b _ _ _"]]:
        """Yield the maps of the stem, at stride 4, of the second block, the middle and the exit flow."""
        x = self.stem(x)
        yield x
        x = self.block1(x)
        x = x.relu() if self.rectified else x
        fine = self.block2.finer(x)
        yield x.relu() if self.low_level == "block1" else fine
        x = self.block2.finish(x, fine)
        del fine
        yield x
        x = self.middle(self.block3(x))
        yield x
        x = self.exit(x)
        yield self.last(x.relu() if self.rectified else x)

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return weights in the names of timm, or of jfzhang95's network, under our own."""
        return {ours(name): value for name, value in state.items() if not name.startswith(("head.", "fc."))}


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
    """Three separable convolutions, each behind a ReLU, and a shortcut; the last may halve the size.

    Attributes:
        rectified: Whether the first ReLU counts for the shortcut too.
    """

    rectified = False

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
        x = x.relu() if self.rectified else x
        return self.finish(x, self.finer(x))

    def look_near(self) -> None:
        """Let the last convolution be dilated in no case."""
        depth = next(each for each in self.coarser.modules() if isinstance(each, nn.Conv2d))
        depth.dilation = depth.padding = (1, 1)

    def finish(self, x: Tensor, fine: Tensor) -> Tensor:
        """Return the sum, given what the first two convolutions made of ``x``."""
        y: Tensor = self.coarser(fine) + self.skip(x)
        return y


def _stage39(channels: int, width: int, blocks: int) -> nn.Sequential:
    rest = (Block39(4 * width, width, 1) for _ in range(blocks - 1))
    return nn.Sequential(Block39(channels, width, 2), *rest)


XCEPTIONS: dict[str, Callable[..., Encoder]] = {
    "xception": Xception,
    "xception39": Xception39,
    "xception65": Xception65,
}
