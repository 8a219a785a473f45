"""Residual networks as encoders, under torchvision's names of weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.mechanisms.base import Mechanism
from foveate.models.encoders.dilate import convolutions, dilate
from foveate.models.encoders.encoder import STRIDES, Encoder
from foveate.options import whole


class ResNetEncoder(Encoder):
    """The stem and the four stages of a residual network, under the names they have there.

    Args:
        network: torchvision's, or foveate's own with a mechanism in it. Its blocks are taken out of it.
        output_stride: The greatest stride; stages beyond it are dilated.
        dilate_first: Whether the first block of a dilated stage is dilated as the others are (CCNet's,
            segmentation-models-pytorch's) or as the stage before it (torchvision's).
        multi_grid: Factors of the dilation of each block of the last stage, the first included.
        ceil_pool: Whether the stem's pooling rounds sizes up (CCNet's).
    """

    conv1: nn.Module
    bn1: nn.Module
    relu: nn.Module
    maxpool: nn.Module

    def __init__(
        self,
        network: nn.Module,
        *,
        output_stride: int = 32,
        dilate_first: bool = False,
        multi_grid: Sequence[int] | None = None,
        ceil_pool: bool = False,
    ) -> None:
        super().__init__()
        for name, child in network.named_children():
            if name not in ("avgpool", "flatten", "fc"):
                self.add_module(name, child)
        stages = [getattr(self, f"layer{number}") for number in (1, 2, 3, 4)]
        if ceil_pool and isinstance(self.maxpool, nn.MaxPool2d):
            self.maxpool.ceil_mode = True
        dilate({8: stages[1], 16: stages[2], 32: stages[3]}, output_stride, dilate_first)
        if multi_grid is not None:
            _multiply(stages[3], multi_grid, 32 // output_stride)
        stem: Any = self.bn1
        self.channels = (stem.num_features, *(_width(stage) for stage in stages))
        self.strides = tuple(min(stride, output_stride) for stride in STRIDES)
        self.in_channels = 3

    def maps(self, x: Float[Tensor, "b c h w"]) -> Iterator[Float[Tensor, "b _ _ _"]]:
        """Yield the maps of the stem and of the four stages."""
        x = self.relu(self.bn1(self.conv1(x)))
        yield x
        x = self.maxpool(x)
        for number in (1, 2, 3, 4):
            x = getattr(self, f"layer{number}")(x)
            yield x


def _multiply(stage: Any, factors: Sequence[int], dilation: int) -> None:
    blocks = [block for block in stage if not isinstance(block, Mechanism)]
    if len(factors) != len(blocks) or any(whole("multi_grid", f) < 1 for f in factors):
        raise OptionError(f"multi_grid: got {factors!r}, expected {len(blocks)} whole numbers, one per block")
    for block, factor in zip(blocks, factors, strict=True):
        for conv in convolutions(block):
            if conv.kernel_size != (1, 1):
                reach = (conv.kernel_size[0] - 1) // 2 * dilation * factor
                conv.dilation, conv.padding = (dilation * factor,) * 2, (reach, reach)


def _width(stage: Any) -> int:
    """Return the channels that come out of a stage."""
    block = [block for block in stage if not isinstance(block, Mechanism)][-1]
    if hasattr(block, "out_channels"):  # foveate's own
        return int(block.out_channels)
    return int((block.bn3 if hasattr(block, "bn3") else block.bn2).num_features)
