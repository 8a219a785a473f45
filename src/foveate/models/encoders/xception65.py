"""DeepLabv3+'s modified aligned Xception of 65 layers as an encoder.

Paper   Chollet. Xception: Deep Learning with Depthwise Separable Convolutions. CVPR 2017. arXiv:1610.02357;
        modified: Chen et al. Encoder-Decoder with Atrous Separable Convolution for Semantic Image
        Segmentation. ECCV 2018. arXiv:1802.02611, section 3.2.
Shapes  images (B, C, H, W) -> 64, 256 (or 128), 256, 728 and 2048 channels at strides 2, 4, 8, 16 and 32.
Cost    37,867,312 parameters for 3 channels.
Differs normalisations add 1e-5 to a variance, as everywhere in PyTorch; the authors' code, and weights
        converted from it (timm's, whose names load), add 1e-3 (eps=1e-3). The paper has a ReLU after every
        depthwise convolution (middle_relu=True), their code in the exit flow only. layout="jfzhang95" is that
        of jfzhang95/pytorch-deeplab-xception, whose names load: shortcuts carry the output of a block's first
        ReLU, the exit flow has its ReLUs before the depthwise convolutions, the last convolution before them
        is never dilated, and the first block's 128 channels are the fine map (low_level="block1").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.models.encoders.conv_norm import ConvNorm
from foveate.models.encoders.dilate import dilate
from foveate.models.encoders.encoder import STRIDES, Encoder
from foveate.models.encoders.xception65_names import ours
from foveate.options import one_of, positive

MIDDLE = 16  # blocks of the middle flow


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
        rectified: Whether the first ReLU applies to the shortcut too.
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
        """Never dilate the last convolution."""
        depth = next(each for each in self.coarser.modules() if isinstance(each, nn.Conv2d))
        depth.dilation = depth.padding = (1, 1)

    def finish(self, x: Tensor, fine: Tensor) -> Tensor:
        """Return the sum, given the output of the first two convolutions for ``x``."""
        y: Tensor = self.coarser(fine) + self.skip(x)
        return y
