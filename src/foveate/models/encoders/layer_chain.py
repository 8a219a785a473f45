"""Networks that are one chain of layers as encoders: VGG, EfficientNet, MobileNetV3, RegNet, ConvNeXt."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.models.encoders.dilate import dilate
from foveate.models.encoders.encoder import Encoder

CHAINS = ("features", "layers", "trunk_output")  # of steps
CHAIN = (*CHAINS, "stem", "conv1", "maxpool", "stage2", "stage3", "stage4", "conv5")
HEAD = ("norm", "permute", "avgpool", "flatten", "classifier", "fc", "head")
TRIAL = 128  # height and width of a trial image that shows which layers halve the size


class LayerChainEncoder(Encoder):
    """A classifier of torchvision that is a chain of layers, without its head, under its names of weights.

    The maps are the last of each size. Poolings round sizes up; ConvNeXt's and Swin's convolutions of whole
    patches round them down.

    Args:
        network: The classifier. Its layers are taken out of it.
        output_stride: The greatest stride; layers that would go beyond are dilated.
        dilate_first: Whether the first block of a dilated stage is dilated as the others are.

    Raises:
        OptionError: The network is not such a chain, or the layers that halve the size cannot be dilated.
    """

    def __init__(self, network: nn.Module, *, output_stride: int = 32, dilate_first: bool = False) -> None:
        super().__init__()
        children = dict(network.named_children())
        if strange := [name for name in children if name not in CHAIN + HEAD]:
            raise OptionError(
                f"encoder: {type(network).__name__} is not a chain of layers (it has {strange[0]}). "
                "Any network that timm gives as feature maps can be one: timm/NAME."
            )
        self._chain = [name for name in children if name in CHAIN]
        for name in self._chain:
            self.add_module(name, children[name])
        self.channels_last = type(network).__name__ == "SwinTransformer"
        steps = list(self._steps())
        for step in steps:
            if isinstance(step, nn.MaxPool2d) and step.padding == 0:
                step.ceil_mode = True
        shapes = self._shapes(steps)
        strides = [2 ** round(math.log2(TRIAL / height)) for _, height in shapes]
        ends = [n for n, s in enumerate(strides) if n + 1 == len(strides) or strides[n + 1] > s]
        stages: dict[int, list[nn.Module]] = {16: [], 32: []}
        for step, stride in zip(steps, strides, strict=True):
            stages.get(stride, []).extend(_blocks(step))
        for stride, stage in stages.items():
            if stride > output_stride and not _can_dilate(stage):
                raise OptionError(
                    f"output_stride: got {output_stride}, expected 32 as a {type(network).__name__} "
                    "halves the size with layers that cannot be dilated"
                )
        dilate(stages, output_stride, dilate_first)
        self._ends = frozenset(ends)
        self.channels = tuple(shapes[n][0] for n in ends)
        self.strides = tuple(min(strides[n], output_stride) for n in ends)
        self.in_channels = 3

    def maps(self, x: Float[Tensor, "b c h w"]) -> Iterator[Float[Tensor, "b _ _ _"]]:
        """Yield the last map of each size."""
        for number, step in enumerate(self._steps()):
            x = step(x)
            if number in self._ends:
                yield x.permute(0, 3, 1, 2).contiguous() if self.channels_last else x

    def _steps(self) -> Iterator[nn.Module]:
        for name in self._chain:
            part = self.get_submodule(name)
            yield from part.children() if name in CHAINS else (part,)

    def _shapes(self, steps: list[nn.Module]) -> list[tuple[int, int]]:
        """Return the channels and the height of the map behind every step."""
        shapes, training = [], self.training
        x = torch.zeros(1, 3, TRIAL, TRIAL, device=next(self.parameters()).device)
        self.eval()
        with torch.no_grad():
            for step in steps:
                x = step(x)
                shapes.append((x.shape[3], x.shape[1]) if self.channels_last else (x.shape[1], x.shape[2]))
        self.train(training)
        return shapes


def _blocks(step: nn.Module) -> Iterator[nn.Module]:
    """Yield the blocks of a step: containers are opened, any other class is a block."""
    if type(step) is nn.Sequential or type(step).__name__ == "AnyStage":  # RegNet's
        for child in step.children():
            yield from _blocks(child)
    else:
        yield step


def _can_dilate(stage: list[nn.Module]) -> bool:
    """Whether convolutions around a position, and nothing else, halve the size."""
    layers = [layer for block in stage for layer in block.modules()]
    strided = [layer for layer in layers if isinstance(layer, nn.Conv2d) and layer.stride != (1, 1)]
    pooled = any(isinstance(layer, nn.MaxPool2d | nn.AvgPool2d) for layer in layers)
    return bool(strided) and not pooled and all(conv.kernel_size[0] % 2 for conv in strided)
