"""DeepLabv3+: atrous convolutions at several rates on the last map, and one finer map to sharpen the edges.

Formula y = head(conv3x3s([resize(ASPP(f4)); conv1x1(f1)])),
        ASPP(f) = conv1x1([conv1x1(f); conv3x3 at rates r1, r2, r3 of f; resize(conv1x1(mean(f)))])
Paper   Chen, Zhu, Papandreou, Schroff, Adam. Encoder-Decoder with Atrous Separable Convolution for Semantic
        Image Segmentation. ECCV 2018. arXiv:1802.02611.
Shapes  images (B, C, H, W) -> logits (B, classes, H, W).
Cost    parameters for 21 classes: layout="paper" 59,344,309 (ResNet-101), 54,705,317 (Xception-65 with
        low_level="block1"), 5,816,053 (MobileNetV2); "vainf" 39,761,845 (ResNet-50), 58,753,973 (ResNet-101;
        45,606,501 with separable="all"), 5,225,717 (MobileNetV2); "smp" 12,334,437, 26,682,725, 45,674,853
        (ResNet-18, -50, -101), 4,383,653 (MobileNetV2).
Differs the paper has no attention: spatial_attention is our reading of it as one, "none" by default, and then
        there are no weights of it. layout= says whose network it is: the paper's with two 3 x 3 convolutions
        after the maps are joined, jfzhang95/pytorch-deeplab-xception's with dropout between these and
        encoders of its own form, VainF/DeepLabV3Plus-Pytorch's with one, or that of
        segmentation-models-pytorch with a separable one more after the ASPP. The names of the latter three's
        weights load. VainF's MobileNetV2 is padded in its way: images of at least 3 x 3 pixels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import CheckpointError, OptionError
from foveate.mechanisms.base import build, mechanisms
from foveate.mechanisms.batch_norm import BatchNorm
from foveate.models.classification.resnet_blocks import initialise
from foveate.models.encoders.build_encoder import build_encoder
from foveate.models.encoders.xception65 import Xception65
from foveate.models.names import models
from foveate.models.segmentation.blocks import convolve
from foveate.models.segmentation.deeplabv3plus_names import JFZHANG, SMP, TWICE, VAINF
from foveate.models.segmentation.segmenter import Segmenter, resized
from foveate.models.weight_names import renamed
from foveate.options import one_of, whole

Separable = Literal["none", "decoder", "all"]
_NAMES = (  # what the layouts call their weights, and a name that only they have
    ("jfzhang95", JFZHANG, r"^aspp\.aspp1\."),
    ("vainf", VAINF, r"^classifier\.aspp\."),
    ("smp", SMP, r"^decoder\.aspp\."),
)
ATTENTION = {"pam": "position", "cc": "criss_cross", "psa": "point_wise", "gate": "attention_gate"}
FINE = 48  # channels of the fine map after its 1 x 1 convolution


@dataclass(frozen=True)
class Layout:
    """Whose network it is.

    Args:
        convolutions: 3 x 3 convolutions after the maps are joined.
        extra: Whether one more follows the ASPP.
        fine_first: Whether the fine map comes first where the two are joined.
        align_corners: How maps and logits are resized.
        dropout: After the ASPP.
        between: Dropout after each of the convolutions after the maps are joined.
        separable: Which convolutions are separable.
        rates: Those of the ASPP; None for 6, 12 and 18 at output stride 16, and in proportion.
        dilate_first: Whether the first block of a dilated stage is dilated as the others are.
    """

    convolutions: int = 1
    extra: bool = False
    fine_first: bool = False
    align_corners: bool = False
    dropout: float = 0.1
    between: tuple[float, ...] = ()
    separable: Separable = "none"
    rates: tuple[int, int, int] | None = None
    dilate_first: bool = False


LAYOUTS = {
    "paper": Layout(convolutions=2, align_corners=True),
    "jfzhang95": Layout(
        convolutions=2, align_corners=True, dropout=0.5, between=(0.5, 0.1), dilate_first=True
    ),
    "vainf": Layout(fine_first=True),
    "smp": Layout(
        extra=True,
        align_corners=True,
        dropout=0.5,
        separable="all",
        rates=(12, 24, 36),
        dilate_first=True,
    ),
}


@models.register("deeplabv3plus")
class DeepLabV3Plus(Segmenter):
    """Atrous spatial pyramid pooling, and a decoder that joins it with a fine map.

    Args:
        classes: Channels of the output.
        encoder: See ``build_encoder``. Paper: ``"xception65"``, and ``"resnet101"``.
        in_channels: Channels of the images.
        output_stride: Stride of the last map: 16 or 8. Paper: both.
        pretrained_encoder: Fetch the weights of the published classifier.
        layout: ``"paper"``, ``"jfzhang95"``, ``"vainf"`` or ``"smp"``; see Differs.
        rates: Rates of the three atrous convolutions. Paper: 6, 12, 18 at output stride 16, twice that at 8.
        separable: Which 3 x 3 convolutions are depthwise and pointwise: ``"none"``, those of the
            ``"decoder"``, or ``"all"``, the ASPP's too. None for the layout's.
        depthwise_norm: Whether a normalisation and a ReLU stand between those two (the authors' code).
        spatial_attention: Weigh positions: any mechanism that does, such as ``"cbam"``, after the ASPP, with
            ``"pam"``, ``"cc"`` and ``"psa"`` short for ``"position"``, ``"criss_cross"`` and
            ``"point_wise"``; or ``"gate"``, short for ``"attention_gate"``: the fine map, gated by the
            ASPP.
        width: Channels of the ASPP and of the decoder.
        options: The encoder's.

    Raises:
        OptionError: An option has an impossible value.

    Example:
        >>> import torch
        >>> DeepLabV3Plus(classes=5, encoder="resnet18").eval()(torch.rand(1, 3, 33, 47)).shape
        torch.Size([1, 5, 33, 47])
    """

    def __init__(
        self,
        *,
        classes: int,
        encoder: str = "resnet50",
        in_channels: int = 3,
        output_stride: int = 16,
        pretrained_encoder: bool = False,
        layout: Literal["paper", "jfzhang95", "vainf", "smp"] = "paper",
        rates: tuple[int, int, int] | None = None,
        separable: Separable | None = None,
        depthwise_norm: bool = False,
        spatial_attention: str = "none",
        width: int = 256,
        **options: Any,
    ) -> None:
        super().__init__(classes, in_channels)
        one_of("layout", layout, LAYOUTS)
        one_of("spatial_attention", spatial_attention, ("none", *ATTENTION, *_weighing_positions()))
        self.layout = plan = LAYOUTS[layout]
        separable = plan.separable if separable is None else separable
        one_of("separable", separable, ("none", "decoder", "all"))
        self.align_corners = plan.align_corners
        if layout == "jfzhang95" and encoder.startswith("drn_"):
            output_stride = 8  # always, as in the original
        self.encoder = build_encoder(
            encoder,
            in_channels=in_channels,
            output_stride=output_stride,
            pretrained=pretrained_encoder,
            **_as_layout(layout, encoder, options),
        )
        channels, strides = self.encoder.channels, self.encoder.strides
        self.at = (strides.index(4) if 4 in strides else 0) - len(strides)
        self.encoder.wanted = -self.at
        taken = rates or plan.rates or (96 // output_stride, 192 // output_stride, 288 // output_stride)
        apart = Depthwise(separable == "all", depthwise_norm)
        self.context = AtrousPyramid(channels[-1], whole("width", width), taken, apart, plan.dropout)
        apart = Depthwise(separable != "none", depthwise_norm)
        self.extra = _layer(width, width, apart) if plan.extra else nn.Identity()
        self.fine = convolve(channels[self.at], FINE, 1)
        wide = (FINE + width, *[width] * (plan.convolutions - 1))
        self.decoder = nn.Sequential(*(_layer(come, width, apart) for come in wide))
        for layer, share in zip(self.decoder, plan.between, strict=False):
            cast(nn.Sequential, layer).append(nn.Dropout(share))
        self.head = nn.Conv2d(width, classes, 1)
        for part in (self.context, self.extra, self.fine, self.decoder, self.head):
            initialise(part)
        self.spatial_attention = spatial_attention
        reading = ATTENTION.get(spatial_attention, spatial_attention)
        self.asks = reading == "attention_gate"
        if self.asks:
            self.attention = build(reading, FINE, gating=width)
        elif reading != "none":
            self.attention = build(reading, width)

    def heads(self, x: Float[Tensor, "b c h w"]) -> dict[str, Float[Tensor, "b q _ _"]]:
        """Return the logits at the size of the fine map."""
        maps = self.encoder(x)
        deep, fine = self.extra(self.context(maps[-1])), self.fine(maps[self.at])
        if self.asks:
            fine = self.attention(fine, deep)
        elif self.spatial_attention != "none":
            deep = self.attention(deep)
        deep = resized(deep, fine, self.align_corners)
        both = [fine, deep] if self.layout.fine_first else [deep, fine]
        return {"out": self.head(self.decoder(torch.cat(both, dim=1)))}

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return weights of jfzhang95, VainF or segmentation-models-pytorch under the names of this network.

        Raises:
            CheckpointError: They are those of another layout.
        """
        for layout, rules, mark in _NAMES:
            if not any(re.search(mark, name) for name in state):
                continue
            if self.layout != LAYOUTS[layout]:
                raise CheckpointError(
                    f'these weights have the names of layout="{layout}". Create the network with that layout.'
                )
            return self._of_encoder(renamed(state, rules, self.state_dict(), spare=TWICE))
        return dict(state)

    def _of_encoder(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Let the encoder translate the names of its weights, if it knows others."""
        if not isinstance(self.encoder, Xception65):
            return state
        mine = {n.removeprefix("encoder."): v for n, v in state.items() if n.startswith("encoder.")}
        rest = {n: v for n, v in state.items() if not n.startswith("encoder.")}
        return {**rest, **{f"encoder.{n}": v for n, v in self.encoder.from_published(mine).items()}}


@dataclass(frozen=True)
class Depthwise:
    """How 3 x 3 convolutions are made.

    Args:
        wanted: Whether each is a depthwise and a pointwise one.
        norm: Whether a normalisation and a ReLU stand between the two.
    """

    wanted: bool
    norm: bool


class AtrousPyramid(nn.Module):
    """Five branches on one map: single positions, three rates, and the mean of all positions.

    Args:
        channels: Channels that come in.
        width: Channels that go out.
        rates: How many positions lie from one tap of a convolution to the next.
        apart: How the convolutions are made.
        dropout: Share of the numbers dropped at the end.
    """

    def __init__(
        self, channels: int, width: int, rates: tuple[int, ...], apart: Depthwise, dropout: float
    ) -> None:
        super().__init__()
        if len(rates) != 3:
            raise OptionError(f"rates: got {rates!r}, expected three whole numbers, such as (6, 12, 18)")
        atrous = (_layer(channels, width, apart, whole("rates", rate)) for rate in rates)
        overall = nn.Sequential(nn.AdaptiveAvgPool2d(1), *convolve(channels, width, 1))
        self.convs = nn.ModuleList([convolve(channels, width, 1), *atrous, overall])
        self.project = nn.Sequential(*convolve(5 * width, width, 1), nn.Dropout(dropout))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """Return the five, joined and mixed."""
        looks = [conv(x) for conv in self.convs]
        looks[-1] = looks[-1].expand(-1, -1, *x.shape[2:])
        y: Tensor = self.project(torch.cat(looks, dim=1))
        return y


def _layer(channels: int, width: int, apart: Depthwise, rate: int = 1) -> nn.Sequential:
    """Return a 3 x 3 convolution that keeps the size, normalised and rectified."""
    if not apart.wanted:
        conv: nn.Module = nn.Conv2d(channels, width, 3, padding=rate, dilation=rate, bias=False)
        return nn.Sequential(conv, BatchNorm(width), nn.ReLU(inplace=True))
    depth = nn.Conv2d(channels, channels, 3, padding=rate, dilation=rate, groups=channels, bias=False)
    between = [BatchNorm(channels), nn.ReLU(inplace=True)] if apart.norm else []
    conv = nn.Sequential(depth, *between, nn.Conv2d(channels, width, 1, bias=False))
    return nn.Sequential(conv, BatchNorm(width), nn.ReLU(inplace=True))


def _weighing_positions() -> list[str]:
    refining = [name for name, cls in mechanisms.items() if cls.interface == "refine"]
    return ["attention_gate", *(name for name in refining if "positions" in mechanisms[name].facets.over)]


def _as_layout(layout: str, encoder: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the encoder's options with those that the layout goes by."""
    mobile = encoder.removeprefix("torchvision/") == "mobilenet_v2"
    own: dict[str, Any] = {}
    if layout == "jfzhang95":
        own = _as_jfzhang(encoder, mobile)
    elif layout == "vainf":
        own = {"early_padding": True} if mobile else {"layout": "vainf"} if encoder == "xception" else {}
    elif layout == "smp" and not encoder.startswith(("timm/", "xception", "drn_")):
        own = {"dilate_first": True, **({"widen": True} if mobile else {})}
    return {**own, **options}


def _as_jfzhang(encoder: str, mobile: bool) -> dict[str, Any]:
    if mobile:
        return {"early_padding": True, "pad_image": True, "late_dilation": True}
    if encoder == "xception65":
        return {"layout": "jfzhang95"}
    grid = {"multi_grid": (1, 2, 4)} if re.fullmatch(r"resnet(50|101|152)", encoder) else {}
    return {"dilate_first": True, **grid} if encoder.startswith("resnet") else {}
