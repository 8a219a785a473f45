"""CCNet: criss-cross attention, twice with the same weights, joined to its input map.

Paper   Huang, Wang, Huang, Huang, Wei, Liu. CCNet: Criss-Cross Attention for Semantic Segmentation.
        ICCV 2019. arXiv:1811.11721.
Shapes  images (B, C, H, W) -> logits (B, classes, H, W); the attention works at stride 8 on a quarter of the
        encoder's last channels.
Cost    with resnet101, stem="deep" and 19 classes 71,287,911 parameters: head 23,934,100, side head
        4,729,875.
Differs none: a stem of three convolutions, pooled rounding up, all blocks of a dilated stage alike and
        activations that leak 1 % in the heads are the authors'. Their normalisations scale by |weight| +
        1e-5; loading does that to the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from foveate.mechanisms.pairwise.criss_cross import CrissCrossAttention
from foveate.models.names import models
from foveate.models.segmentation.blocks import THREE_CONVOLUTIONS, convolve, side_head, without_dead_scale
from foveate.models.segmentation.dilated_segmenter import Dilated, Head, dilated_encoder
from foveate.models.weight_names import Rules, renamed
from foveate.options import reduced

RULES: Rules = (
    *THREE_CONVOLUTIONS,
    (r"^head\.conva\.", "head.before."),
    (r"^head\.cca\.(query|key|value)_conv\.", r"head.attention.\1."),
    (r"^head\.cca\.", "head.attention."),
    (r"^head\.convb\.", "head.after."),
    (r"^head\.bottleneck\.3\.", "head.join.4."),  # theirs count normalisation and activation as one
    (r"^head\.bottleneck\.", "head.join."),
    (r"^dsn\.3\.", "side.4."),
    (r"^dsn\.", "side."),
)
AUTHORS = {"stem": "deep", "ceil_pool": True, "dilate_first": True}  # the options of their encoder
LEAK = 0.01  # of InPlaceABN


class CrissCrossHead(Head):
    """Criss-cross attention between two convolutions, joined to the map that came in.

    Args:
        channels: Channels of the last map.
        classes: Channels of the output.
        recurrence: How many rounds of attention. Paper: 2.
        dropout: Share of the channels dropped before the classification. Paper: 0.1.
        leak: Slope of the activations below zero. Authors: 0.01.

    Example:
        >>> import torch
        >>> CrissCrossHead(64, 5)([torch.rand(2, 64, 7, 5)])["out"].shape
        torch.Size([2, 5, 7, 5])
    """

    def __init__(
        self, channels: int, classes: int, *, recurrence: int = 2, dropout: float = 0.1, leak: float = LEAK
    ) -> None:
        super().__init__()
        width = reduced(channels, 4)
        self.before = convolve(channels, width, leak=leak)
        self.attention = CrissCrossAttention(width, recurrence=recurrence)
        self.after = convolve(width, width, leak=leak)
        self.join = side_head(channels + width, width, classes, dropout=dropout, leak=leak)

    def forward(self, maps: list[Float[Tensor, "b _ _ _"]]) -> dict[str, Tensor]:
        """Return the logits."""
        both = torch.cat([maps[-1], self.after(self.attention(self.before(maps[-1])))], dim=1)
        return {"out": self.join(both)}


@models.register("ccnet")
class CCNet(Dilated):
    """Recurrent criss-cross attention on a dilated residual network.

    While training the output is a dict of ``"out"`` and, unless ``side=False``, ``"aux"``, which the authors
    weigh by 0.4.

    Args:
        classes: Channels of the output.
        encoder: See ``build_encoder``. Paper: ``"resnet101"``.
        in_channels: Channels of the images.
        output_stride: Stride of the map that the attention works on. Paper: 8.
        pretrained_encoder: Fetch the weights of the published classifier; then ``stem`` must be "imagenet".
        side: Whether the second last stage has a classifier of its own, for training.
        recurrence: How many rounds of attention. Paper: 2.
        dropout: Share of the channels dropped before each classification. Paper: 0.1.
        options: The encoder's. For the plain residual networks ``stem="deep"``, ``ceil_pool=True`` and
            ``dilate_first=True``, the authors', unless they say otherwise.

    Example:
        >>> import torch
        >>> CCNet(classes=5, encoder="resnet18").eval()(torch.rand(1, 3, 33, 47)).shape
        torch.Size([1, 5, 33, 47])
    """

    aux_weights: ClassVar[Mapping[str, float]] = {"aux": 0.4}

    def __init__(
        self,
        *,
        classes: int,
        encoder: str = "resnet101",
        in_channels: int = 3,
        output_stride: int = 8,
        pretrained_encoder: bool = False,
        side: bool = True,
        recurrence: int = 2,
        dropout: float = 0.1,
        **options: Any,
    ) -> None:
        built = dilated_encoder(
            encoder,
            options,
            in_channels=in_channels,
            output_stride=output_stride,
            pretrained=pretrained_encoder,
            authors=AUTHORS,
        )
        head = CrissCrossHead(built.channels[-1], classes, recurrence=recurrence, dropout=dropout)
        super().__init__(classes, built, head, side=side, dropout=dropout, narrow=2, bias=True, leak=LEAK)

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return weights in the authors' names under those of this model."""
        if any(name.startswith("head.bottleneck.") for name in state):
            state = without_dead_scale(state)
        return renamed(state, RULES, self.state_dict(), spare=r"^side\.")
