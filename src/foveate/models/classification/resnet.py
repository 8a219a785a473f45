"""Residual networks for photographs, with a place for a mechanism in every block or after every stage.

Paper   He, Zhang, Ren, Sun. Deep Residual Learning for Image Recognition. CVPR 2016. arXiv:1512.03385,
        section 4.1; Xie, Girshick, Dollar, Tu, He. Aggregated Residual Transformations for Deep Neural
        Networks. CVPR 2017. arXiv:1611.05431. The places: Hu, Shen, Sun. Squeeze-and-Excitation Networks.
        TPAMI 2020. arXiv:1709.01507, section 6.5.
Shapes  images (B, 3, H, W) -> logits (B, classes); stages 1 to 4 at 1/4, 1/8, 1/16 and 1/32 of the size.
Cost    without a mechanism: 11,689,512, 21,797,672, 25,557,032, 44,549,160 and 60,192,808 parameters for 18,
        34, 50, 101 and 152 layers and 1000 classes.
Differs a block halves the size in its 3 x 3 convolution, as torchvision does, not in its first;
        caffe=True is as in the paper. Names of weights are torchvision's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.mechanisms.base import build
from foveate.mechanisms.branch.sk_conv import SelectiveKernelConv
from foveate.models.classification.resnet_blocks import (
    Attend,
    BasicBlock,
    Bottleneck,
    Placement,
    Residual,
    Width,
    check_images,
    initialise,
)
from foveate.models.classification.resnet_names import published
from foveate.models.normalisation import IMAGENET_MEAN, IMAGENET_STD, Triple
from foveate.options import whole

Stem = Literal["imagenet", "deep", "cifar"]
DEPTHS = (18, 34, 50, 101, 152)


@dataclass(frozen=True)
class Plan:
    """What a residual network is made of.

    Args:
        blocks: Blocks of each of the four stages.
        bottleneck: Whether a block is 1 x 1, 3 x 3, 1 x 1 and widens by 4, or twice 3 x 3.
        stem: Channels of the stem.
        groups: Groups of the 3 x 3 convolution of a bottleneck.
        group_width: Channels of each of them in stage 1; doubled with every stage.
        narrow: How many times narrower the first 1 x 1 convolution is than the 3 x 3 one.
        shortcut: Width and height of the shortcut's convolution where the size is halved.
    """

    blocks: tuple[int, int, int, int]
    bottleneck: bool = True
    stem: int = 64
    groups: int = 1
    group_width: int = 64
    narrow: int = 1
    shortcut: int = 1


PLANS = {
    18: Plan((2, 2, 2, 2), bottleneck=False),
    26: Plan((2, 2, 2, 2)),
    34: Plan((3, 4, 6, 3), bottleneck=False),
    50: Plan((3, 4, 6, 3)),
    101: Plan((3, 4, 23, 3)),
    152: Plan((3, 8, 36, 3)),
}


class ResNet(nn.Module):
    """A residual network with a mechanism in it.

    Args:
        plan: What it is made of.
        mechanism: A mechanism's name; None for the plain network.
        classes: Length of the output.
        placement: Where the mechanism sits. In every block: ``"standard"`` on the branch, before the sum;
            ``"pre"`` on the branch, before its first convolution; ``"post"`` after the sum and its ReLU;
            ``"identity"`` on the shortcut, before its convolution if it has one; ``"inner"`` after the
            ReLU that follows the (first) 3 x 3 convolution; ``"replace"`` instead of that convolution, which
            ``"sk_conv"`` can. Or ``"stage"``: once, after the last block of a stage.
        stages: The stages that have it, from 1 to 4.
        stem: ``"imagenet"``: 7 x 7 at half the size, then a max-pooling; ``"deep"``: three of 3 x 3 instead;
            ``"cifar"``: one of 3 x 3 at full size and no pooling, for images of 32 pixels.
        caffe: Halve the size in a bottleneck's first convolution (if that has no groups), and pool
            without padding, rounding up: so the models that the authors of SE released.
        options: Options of the mechanism.

    Raises:
        UnknownNameError: There is no such mechanism.
        OptionError: An option does not exist or has an impossible value.

    Example:
        >>> import torch
        >>> ResNet(PLANS[18], "se", classes=5, stem="cifar")(torch.rand(2, 3, 16, 12)).shape
        torch.Size([2, 5])
    """

    def __init__(
        self,
        plan: Plan,
        mechanism: str | None,
        *,
        classes: int,
        placement: Placement = "standard",
        stages: Sequence[int] = (1, 2, 3, 4),
        stem: Stem = "imagenet",
        caffe: bool = False,
        **options: object,
    ) -> None:
        super().__init__()
        _check(plan, mechanism, placement, stages, stem, options)
        self.plan, self.mechanism, self.placement = plan, mechanism, placement
        self.stages, self.stem, self.caffe, self.options = tuple(stages), stem, caffe, options
        self.conv1, self.bn1, self.relu = _stem(stem, plan.stem), nn.BatchNorm2d(plan.stem), nn.ReLU(True)
        self.maxpool = _pool(stem, caffe)
        self.layer1, channels = self._stage(1, plan.stem)
        self.layer2, channels = self._stage(2, channels)
        self.layer3, channels = self._stage(3, channels)
        self.layer4, channels = self._stage(4, channels)
        self.avgpool, self.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.fc = nn.Linear(channels, whole("classes", classes))
        initialise(self)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b q"]:
        """Return logits."""
        check_images(self, x)
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.flatten(self.avgpool(x)))

    @property
    def published_normalisation(self) -> tuple[Triple, Triple] | None:
        """Mean and deviation that published weights expect of images: ImageNet's, unless for small images."""
        return None if self.stem == "cifar" else (IMAGENET_MEAN, IMAGENET_STD)

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return published weights under the names, and in the shapes, that this network has.

        Raises:
            CheckpointError: They are those of a network that computes something else.
        """
        return published(state, self)

    def stage_options(self, stage: int) -> Mapping[str, object]:
        """Return the mechanism's options in a stage, from 1 to 4: the same in each."""
        return self.options

    def _stage(self, stage: int, channels: int) -> tuple[nn.Sequential, int]:
        """Return a stage and the channels that come out of it."""
        layers, attended = nn.Sequential(), self.mechanism is not None and stage in self.stages
        attend = _attend(self.mechanism, self.stage_options(stage))
        where = self.placement if attended and self.placement != "stage" else None
        for number in range(self.plan.blocks[stage - 1]):
            stride = 2 if number == 0 and stage > 1 else 1
            block = self._block(64 * 2 ** (stage - 1), channels, stride, where, attend)
            layers.append(block)
            channels = block.out_channels
        if attended and self.placement == "stage":
            layers.add_module("attention", attend(channels))
        return layers, channels

    def _block(
        self, width: int, channels: int, stride: int, where: Placement | None, attend: Attend
    ) -> Residual:
        plan = self.plan
        if not plan.bottleneck:
            return BasicBlock(channels, width, stride, where, attend)
        inner = plan.groups * (plan.group_width * width // 64)
        shortcut = plan.shortcut if stride > 1 else 1
        widths = Width(inner // plan.narrow, inner, 4 * width, plan.groups, shortcut)
        strides = (stride, 1) if self.caffe and plan.groups == 1 else (1, stride)
        return Bottleneck(channels, widths, strides, where, attend)


def _check(
    plan: Plan,
    mechanism: str | None,
    placement: str,
    stages: Sequence[int],
    stem: str,
    options: Mapping[str, object],
) -> None:
    for name, value, known in (("placement", placement, Placement), ("stem", stem, Stem)):
        if value not in get_args(known):
            raise OptionError(f"{name}: got {value!r}, expected one of {', '.join(get_args(known))}")
    if not isinstance(stages, Sequence) or not stages or not set(stages) <= {1, 2, 3, 4}:
        raise OptionError(f"stages: got {stages!r}, expected some of 1, 2, 3, 4, such as stages=(3, 4)")
    if placement == "replace" and not (plan.bottleneck and mechanism == "sk_conv"):
        raise OptionError('placement: "replace" is for sk_conv in a network of bottlenecks')
    if mechanism is None and options:
        raise OptionError(f"{', '.join(options)}: options of a mechanism, but there is none")


def _attend(mechanism: str | None, options: Mapping[str, object]) -> Attend:
    """Return what builds the mechanism, or the convolution itself where it replaces one."""

    def attend(channels: int, **convolution: int) -> nn.Module:
        if convolution:
            return SelectiveKernelConv(channels, **{**convolution, **options})  # type: ignore[arg-type]
        return build(mechanism or "", channels, **options)

    return attend


def _stem(stem: Stem, width: int) -> nn.Module:
    """Return the convolutions in front of the first normalisation."""
    if stem == "imagenet":
        return nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
    if stem == "cifar":
        return nn.Conv2d(3, width, 3, padding=1, bias=False)
    layers: list[nn.Module] = []
    for channels, stride in ((3, 2), (width // 2, 1)):
        conv = nn.Conv2d(channels, width // 2, 3, stride=stride, padding=1, bias=False)
        layers += [conv, nn.BatchNorm2d(width // 2), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Conv2d(width // 2, width, 3, padding=1, bias=False))


def _pool(stem: Stem, caffe: bool) -> nn.Module:
    if stem == "cifar":
        return nn.Identity()
    return nn.MaxPool2d(3, stride=2, ceil_mode=True) if caffe else nn.MaxPool2d(3, stride=2, padding=1)
