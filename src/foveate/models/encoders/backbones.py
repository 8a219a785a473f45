"""Networks as encoders: residual networks, MobileNetV2, and what timm gives.

They keep torchvision's names of weights, dilated or not, so published classifiers load into them. A stage
that must not halve the size any more is dilated instead: its stride becomes 1, and every convolution after
that looks as far as it did.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.mechanisms.base import Mechanism
from foveate.models.classification.resnet_blocks import Residual
from foveate.options import whole

if TYPE_CHECKING:
    import torchvision

STRIDES = (2, 4, 8, 16, 32)


class Encoder(nn.Module):
    """Images to maps, the finest first.

    Attributes:
        channels: Channels of each map.
        strides: How many pixels a side one position of each map stands for.
        in_channels: Channels of the images.
        wanted: How many of the maps are returned, the coarsest; None for all. The finest take most of the
            memory, and a head that does not read them need not keep them.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    in_channels: int
    wanted: int | None = None

    @abstractmethod
    def maps(self, x: Float[Tensor, "b c h w"]) -> Iterator[Float[Tensor, "b _ _ _"]]:
        """Yield the maps, each ``ceil(size / stride)`` high and wide."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Return the maps that are wanted."""
        first = 0 if self.wanted is None else len(self.channels) - self.wanted
        return [y for number, y in enumerate(self.maps(x)) if number >= first]


class ResNetEncoder(Encoder):
    """The stem and the four stages of a residual network, under the names that they have there.

    Args:
        network: torchvision's, or foveate's own with a mechanism in it. Its blocks are taken out of it.
        output_stride: The greatest stride; stages that would go beyond are dilated.
        dilate_first: Whether the first block of a dilated stage is dilated as the others are (CCNet's,
            segmentation-models-pytorch's) or as the stage before it (torchvision's).
        multi_grid: What the dilation of each block of the last stage is multiplied by; its first block too.
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


class MobileNetV2Encoder(Encoder):
    """torchvision's MobileNetV2 without its classifier.

    Args:
        network: torchvision's.
        output_stride: The greatest stride; blocks that would go beyond are dilated.
        dilate_first: As for ``ResNetEncoder``.
        widen: Whether the last map is that of the final 1 x 1 convolution, 1,280 channels (as in
            segmentation-models-pytorch), or that before it, 320 (as in DeepLab).
        early_padding: Whether zeros go around what comes into a block, before its first convolution, and none
            around the image (VainF's), or around what comes into the 3 x 3 convolutions (torchvision's).
        pad_image: Whether ``early_padding`` still leaves zeros around the image (jfzhang95's).
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
    """A chain whose only convolution beyond 1 x 1 is padded where the chain begins.

    Args:
        layers: The chain; its names of weights stay.
    """

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__(*layers)
        conv = next(conv for conv in _convolutions(layers) if conv.kernel_size != (1, 1))
        self.around, conv.padding = int(conv.padding[0]), (0, 0)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Return the chain's map of the padded one."""
        return cast(Tensor, super().forward(nn.functional.pad(x, (self.around,) * 4)))


class TimmEncoder(Encoder):
    """A network of timm, as its ``features_only`` gives it.

    Args:
        network: From ``timm.create_model(name, features_only=True)``.
        output_stride: What it was asked for.
    """

    def __init__(self, network: Any, *, output_stride: int = 32) -> None:
        super().__init__()
        info = network.feature_info
        self.network = network
        self.channels_last = getattr(network, "output_fmt", "NCHW") == "NHWC"
        self.channels, self.strides = tuple(info.channels()), tuple(info.reduction())
        self.in_channels = 3

    def maps(self, x: Float[Tensor, "b c h w"]) -> Iterator[Float[Tensor, "b _ _ _"]]:
        """Yield timm's maps, with the channels before the rows."""
        for y in self.network(x):
            yield y.permute(0, 3, 1, 2).contiguous() if self.channels_last else y


def dilate(stages: dict[int, Any], output_stride: int, dilate_first: bool) -> None:
    """Keep the size, and look further instead, in every stage that goes beyond ``output_stride``.

    Args:
        stages: The blocks of each stage, by the stride that it ends at, rising.
        output_stride: The greatest stride.
        dilate_first: Whether a stage's first block is dilated as the others are.
    """
    before = 1
    for stride, blocks in stages.items():
        dilation = max(1, stride // output_stride)
        for number, block in enumerate(blocks):
            if dilation > 1:
                _dilate(block, dilation if number or dilate_first else before)
        before = dilation


def _dilate(block: nn.Module, dilation: int) -> None:
    for conv in _convolutions(block):
        conv.stride = (1, 1)
        if conv.kernel_size != (1, 1):
            conv.dilation = tuple(d * dilation for d in conv.dilation)
            conv.padding = tuple(int(p) * dilation for p in conv.padding)


def _dilate_as(block: nn.Module, other: nn.Module) -> None:
    """Let a block's convolution beyond 1 x 1 look as far as that of another."""
    mine, its = (next(c for c in _convolutions(each) if c.kernel_size != (1, 1)) for each in (block, other))
    mine.dilation, mine.padding = its.dilation, its.padding


def _convolutions(module: nn.Module) -> Iterator[nn.Conv2d]:
    """Yield a block's own convolutions, none of a mechanism inserted into it."""
    if isinstance(module, nn.Conv2d):
        yield module
    for child in module.children():
        if not isinstance(child, Mechanism):
            yield from _convolutions(child)


def _multiply(stage: Any, factors: Sequence[int], dilation: int) -> None:
    blocks = [block for block in stage if not isinstance(block, Mechanism)]
    if len(factors) != len(blocks) or any(whole("multi_grid", f) < 1 for f in factors):
        raise OptionError(f"multi_grid: got {factors!r}, expected {len(blocks)} whole numbers, one a block")
    for block, factor in zip(blocks, factors, strict=True):
        for conv in _convolutions(block):
            if conv.kernel_size != (1, 1):
                reach = (conv.kernel_size[0] - 1) // 2 * dilation * factor
                conv.dilation, conv.padding = (dilation * factor,) * 2, (reach, reach)


def _width(stage: Any) -> int:
    """Return the channels that come out of a stage."""
    block = [block for block in stage if not isinstance(block, Mechanism)][-1]
    if isinstance(block, Residual):
        return block.out_channels
    return int((block.bn3 if hasattr(block, "bn3") else block.bn2).num_features)
