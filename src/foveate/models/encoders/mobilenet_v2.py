"""MobileNetV2 as an encoder, under torchvision's names of weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from jaxtyping import Float
from torch import Tensor, nn

from foveate.models.encoders.dilate import convolutions, dilate
from foveate.models.encoders.encoder import STRIDES, Encoder

if TYPE_CHECKING:
    import torchvision


class MobileNetV2Encoder(Encoder):
    """torchvision's MobileNetV2 without its classifier.

    Args:
        network: torchvision's.
        output_stride: The greatest stride; blocks that would go beyond are dilated.
        dilate_first: As for ``ResNetEncoder``.
        widen: Whether the last map is that of the final 1 x 1 convolution, 1,280 channels (as in
            segmentation-models-pytorch), or that before it, 320 (as in DeepLab).
        early_padding: Whether the input of a block is zero-padded, before its first convolution, but not the
            image (VainF's), or the input of each 3 x 3 convolution (torchvision's).
        pad_image: Whether the image is zero-padded even with ``early_padding`` (jfzhang95's).
        late_dilation: Whether all blocks of a width are dilated as the first of them is (jfzhang95's).
    """

    def __init__(
        self,
        network: torchvision.models.MobileNetV2,
        *,
        output_stride: int = 32,
        dilate_first: bool = False,
        widen: bool = False,
        early_padding: bool = False,
        pad_image: bool = False,
        late_dilation: bool = False,
    ) -> None:
        super().__init__()
        self.features = network.features if widen else network.features[:-1]
        blocks = list(network.features)
        dilate({16: blocks[7:14], 32: blocks[14:18]}, output_stride, dilate_first)
        for alike in (blocks[7:11], blocks[14:17]) if late_dilation else ():
            for block in alike[1:]:
                _dilate_as(block, alike[0])
        if early_padding:
            blocks[0][0].padding = (1, 1) if pad_image else (0, 0)
            for block in blocks[1:18]:
                block.conv = EarlyPadded(block.conv)
        self.channels = (16, 24, 32, 96, 1280 if widen else 320)
        self.strides = tuple(min(stride, output_stride) for stride in STRIDES)
        self.in_channels, self._out = 3, (1, 3, 6, 13, len(self.features) - 1)

    def maps(self, x: Float[Tensor, "b c h w"]) -> Iterator[Float[Tensor, "b _ _ _"]]:
        """Yield the last map of each size."""
        for number, block in enumerate(self.features):
            x = block(x)
            if number in self._out:
                yield x


class EarlyPadded(nn.Sequential):
    """A sequence of layers, padded at its input instead of in its only convolution beyond 1 x 1.

    Args:
        layers: The sequence; the names of its weights stay.
    """

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__(*layers)
        conv = next(conv for conv in convolutions(layers) if conv.kernel_size != (1, 1))
        self.around, conv.padding = int(conv.padding[0]), (0, 0)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Return the sequence's output for the padded map."""
        return cast(Tensor, super().forward(nn.functional.pad(x, (self.around,) * 4)))


def _dilate_as(block: nn.Module, other: nn.Module) -> None:
    """Give a block's convolution beyond 1 x 1 the dilation of another block's."""
    mine, its = (next(c for c in convolutions(each) if c.kernel_size != (1, 1)) for each in (block, other))
    mine.dilation, mine.padding = its.dilation, its.padding
