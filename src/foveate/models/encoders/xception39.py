"""BiSeNet's small Xception of 39 layers as an encoder.

Paper   Chollet. Xception: Deep Learning with Depthwise Separable Convolutions. CVPR 2017. arXiv:1610.02357;
        the small one: Yu et al. BiSeNet. ECCV 2018. arXiv:1808.00897, section 3.2.
Shapes  images (B, C, H, W) -> 8, 8, 64, 128 and 256 channels at strides 2, 4, 8, 16 and 32.
Cost    299,448 parameters for 3 channels.
Differs none.
"""

from __future__ import annotations

from collections.abc import Iterator

from jaxtyping import Float
from torch import Tensor, nn

from foveate.models.encoders.conv_norm import ConvNorm
from foveate.models.encoders.dilate import dilate
from foveate.models.encoders.encoder import STRIDES, Encoder


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


def _stage39(channels: int, width: int, blocks: int) -> nn.Sequential:
    rest = (Block39(4 * width, width, 1) for _ in range(blocks - 1))
    return nn.Sequential(Block39(channels, width, 2), *rest)
