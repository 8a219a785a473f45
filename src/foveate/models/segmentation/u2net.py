"""U2-Net: a U-Net whose blocks are U-Nets, and whose side outputs of six sizes are fused into one.

Formula y = fuse(u1, ..., u6), us = resize(conv3x3(stage s)); a stage is x0 + U(x0), U a small U-Net,
        x0 = relu(BN(conv3x3(x)))
Paper   Qin, Zhang, Huang, Dehghan, Zaiane, Jagersand. U2-Net: Going Deeper with Nested U-Structure for
        Salient Object Detection. Pattern Recognition 106, 2020. arXiv:2005.09007.
Shapes  images (B, C, H, W) -> logits (B, classes, H, W).
Cost    44,009,869 parameters, 1,131,181 for the small one, for 3 channels and 1 class; 58.598 and 19.756
        GMACs for 320 x 320.
Differs logits, where the authors' code returns sigmoids of the seven maps, also outside of training:
        official_output=True. Only the fusion is attention, over scales; fusion="conv" is the authors',
        "softmax" and "spatial" are our reading of it, with weights that sum to 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import BatchNorm
from foveate.mechanisms.branch.side_fusion import SideFusion
from foveate.models.names import models
from foveate.models.segmentation.segmenter import Segmenter, resized
from foveate.models.weight_names import renamed
from foveate.options import one_of

SIDES = 6
Width = tuple[int, int]  # channels inside a stage, and those that go out
FULL: tuple[Width, ...] = ((32, 64), (32, 128), (64, 256), (128, 512), (256, 512), (256, 512))
FULL_UP: tuple[Width, ...] = ((16, 64), (32, 64), (64, 128), (128, 256), (256, 512))
SMALL: tuple[Width, ...] = ((16, 64),) * 6
SMALL_UP: tuple[Width, ...] = ((16, 64),) * 5
HEIGHTS = (7, 6, 5, 4)  # layers of the small U-Nets of the stages 1 to 4; further ones dilate


class U2Net(Segmenter):
    """Six stages down, five up, each a small U-Net, and a side output of each size.

    While training the output is a dict of ``"out"`` and ``"aux1"`` to ``"aux6"``, the side outputs from the
    finest; the authors add the seven losses, each with weight 1.

    Args:
        down: Channels inside each stage on the way down, and those that go out.
        up: The same on the way up, from the finest stage.
        classes: Channels of the output.
        in_channels: Channels of the images.
        fusion: How the side outputs are weighed: ``"conv"`` (authors), ``"softmax"``: a share for each, or
            ``"spatial"``: a share for each at each position.
        official_output: Whether to return, always, the tuple of seven maps of probabilities.

    Raises:
        OptionError: ``fusion`` is unknown.

    Example:
        >>> small = U2Net(SMALL, SMALL_UP, classes=1).eval()
        >>> small(torch.rand(1, 3, 33, 47)).shape
        torch.Size([1, 1, 33, 47])
    """

    stage1: nn.Module

    def __init__(
        self,
        down: Sequence[Width] = FULL,
        up: Sequence[Width] = FULL_UP,
        *,
        classes: int,
        in_channels: int = 3,
        fusion: Literal["conv", "softmax", "spatial"] = "conv",
        official_output: bool = False,
    ) -> None:
        super().__init__(classes, in_channels)
        one_of("fusion", fusion, ("conv", "softmax", "spatial"))
        self.aux = tuple(f"aux{number}" for number in range(1, SIDES + 1))
        self.official_output = official_output
        come = (in_channels, *(out for _, out in down))
        for number, (channels, (inside, out)) in enumerate(zip(come, down, strict=False), 1):
            self.add_module(f"stage{number}", _stage(number, channels, inside, out))
        below = (*(out for _, out in up[1:]), down[-1][1])
        for number, (coarse, skip, (inside, out)) in enumerate(zip(below, come[1:], up, strict=False), 1):
            self.add_module(f"stage{number}d", _stage(number, coarse + skip, inside, out))
        for number, (_, out) in enumerate([*up, down[-1]], 1):
            self.add_module(f"side{number}", nn.Conv2d(out, classes, 3, padding=1))
        self.fusion = SideFusion(classes, maps=SIDES, kind=fusion)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Tensor | dict[str, Tensor] | tuple[Tensor, ...]:  # type: ignore[override]
        """Return logits of the images' size, or seven maps of probabilities."""
        if not self.official_output:
            return super().forward(x)
        logits = self.heads(x)
        return tuple(self.fitted(logits[name], x).sigmoid() for name in ("out", *self.aux))

    def heads(self, x: Float[Tensor, "b c h w"]) -> dict[str, Float[Tensor, "b q _ _"]]:
        """Return the fused logits, and those of the six sides."""
        maps = [self.stage1(x)]
        for number in range(2, SIDES + 1):
            maps.append(getattr(self, f"stage{number}")(_pooled(maps[-1])))
        for number in range(SIDES - 1, 0, -1):
            coarse = resized(maps[number], maps[number - 1])
            maps[number - 1] = getattr(self, f"stage{number}d")(torch.cat([coarse, maps[number - 1]], 1))
        sides = [getattr(self, f"side{number}")(y) for number, y in enumerate(maps, 1)]
        sides = [resized(side, sides[0]) for side in sides]
        return {"out": self.fusion(sides), **dict(zip(self.aux, sides, strict=True))}

    def fusion_weights(self) -> Tensor:
        """Return what the sides weigh: (classes, 6, classes), from the last axis to the first; or (6,)."""
        return self.fusion.fusion_weights()

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the authors' weights under the names that this network has."""
        return renamed(state, [(r"^outconv\.", "fusion.fuse.")], self.state_dict())


class Unit(nn.Module):
    """A 3 x 3 convolution with a bias, normalised and rectified, under the authors' names."""

    def __init__(self, channels: int, out: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv_s1 = nn.Conv2d(channels, out, 3, padding=dilation, dilation=dilation)
        self.bn_s1 = BatchNorm(out)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """Return the map of ``out`` channels."""
        return cast(Tensor, self.bn_s1(self.conv_s1(x))).relu_()


class Stage(nn.Module):
    """A small U-Net and a shortcut around it (RSU).

    Args:
        channels: Channels that come in.
        inside: Channels inside.
        out: Channels that go out.
        layers: How many layers it goes down.
        dilated: Whether every layer is dilated further at full size, instead of halving the size.
    """

    rebnconv1: nn.Module

    def __init__(self, channels: int, inside: int, out: int, layers: int, *, dilated: bool = False) -> None:
        super().__init__()
        self.layers, self.dilated = layers, dilated
        self.rebnconvin = Unit(channels, out)
        for number in range(1, layers + 1):
            bottom = 2 if number == layers else 1
            dilation = 2 ** (number - 1) if dilated else bottom
            self.add_module(f"rebnconv{number}", Unit(out if number == 1 else inside, inside, dilation))
        for number in range(layers - 1, 0, -1):
            dilation = 2 ** (number - 1) if dilated else 1
            self.add_module(f"rebnconv{number}d", Unit(2 * inside, out if number == 1 else inside, dilation))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """Return the U-Net's map and what went into it, summed."""
        x = self.rebnconvin(x)
        maps = [self.rebnconv1(x)]
        for number in range(2, self.layers + 1):
            stays = self.dilated or number == self.layers
            y = maps[-1] if stays else _pooled(maps[-1])
            maps.append(getattr(self, f"rebnconv{number}")(y))
        y = maps.pop()
        for number in range(self.layers - 1, 0, -1):
            skip = maps.pop()
            y = getattr(self, f"rebnconv{number}d")(torch.cat([resized(y, skip), skip], 1))
        return y + x


def _stage(number: int, channels: int, inside: int, out: int) -> Stage:
    dilated = number > len(HEIGHTS)
    return Stage(channels, inside, out, 4 if dilated else HEIGHTS[number - 1], dilated=dilated)


def _pooled(x: Tensor) -> Tensor:
    """Return half the size, rounded up."""
    return nn.functional.max_pool2d(x, 2, ceil_mode=True)


@models.register("u2net")
def u2net(*, classes: int, **options: object) -> U2Net:
    """Return the full network; the options are those of ``U2Net``."""
    return U2Net(FULL, FULL_UP, classes=classes, **options)  # type: ignore[arg-type]


@models.register("u2netp")
def u2netp(*, classes: int, **options: object) -> U2Net:
    """Return the small network; the options are those of ``U2Net``."""
    return U2Net(SMALL, SMALL_UP, classes=classes, **options)  # type: ignore[arg-type]
