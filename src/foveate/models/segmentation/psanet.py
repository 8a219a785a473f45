"""PSANet: point-wise spatial attention: each position collects from all and distributes to all.

Paper   Zhao, Zhang, Liu, Shi, Loy, Lin, Jia. PSANet: Point-wise Spatial Attention Network for Scene
        Parsing. ECCV 2018.
Shapes  images (B, C, H, W) -> logits (B, classes, H, W); the attention works at stride 16, on the halved map
        of stride 8.
Cost    with resnet50, stem="deep", 150 classes and size 30 53,273,836 parameters: attention 8,291,328.
Differs none (a stem of three convolutions, all blocks of a dilated stage alike);
        images of any size, where theirs must be one more than a multiple of 16.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from foveate.mechanisms.pairwise.point_wise import PointWiseAttention
from foveate.models.names import models
from foveate.models.segmentation.blocks import side_head
from foveate.models.segmentation.dilated_segmenter import Dilated, Head, dilated_encoder
from foveate.models.weight_names import Rules, renamed
from foveate.options import reduced

RULES: Rules = (
    (r"^layer0\.([0134])\.", r"encoder.conv1.\1."),
    (r"^layer0\.6\.", "encoder.conv1.6."),
    (r"^layer0\.7\.", "encoder.bn1."),
    (r"^(layer[1-4])\.", r"encoder.\1."),
    (r"^psa\.reduce\.", "head.attention.collect.reduce."),
    (r"^psa\.reduce_p\.", "head.attention.distribute.reduce."),
    (r"^psa\.attention\.3\.weight$", "head.attention.collect.mask"),
    (r"^psa\.attention_p\.3\.weight$", "head.attention.distribute.mask"),
    (r"^psa\.attention\.", "head.attention.collect.hidden."),
    (r"^psa\.attention_p\.", "head.attention.distribute.hidden."),
    (r"^psa\.proj\.", "head.attention.merge."),
    (r"^cls\.", "head.join."),
    (r"^aux\.", "side."),
)
AUTHORS = {"stem": "deep", "dilate_first": True}  # the options of their encoder


class PointWiseHead(Head):
    """What the point-wise attention reads, joined to the map that came in.

    Args:
        channels: Channels of the last map.
        classes: Channels of the output.
        size: Height and width of the largest halved map in which every pair of positions has a weight.
        dropout: Share of the channels dropped before the classification. Paper: 0.1.

    Example:
        >>> import torch
        >>> PointWiseHead(64, 5)([torch.rand(2, 64, 7, 5)])["out"].shape
        torch.Size([2, 5, 7, 5])
    """

    def __init__(self, channels: int, classes: int, *, size: int = 30, dropout: float = 0.1) -> None:
        super().__init__()
        self.attention = PointWiseAttention(channels, size=size, shrink=2)
        self.join = side_head(2 * channels, reduced(channels, 4), classes, dropout=dropout)

    def forward(self, maps: list[Float[Tensor, "b _ _ _"]]) -> dict[str, Tensor]:
        """Return the logits."""
        return {"out": self.join(torch.cat([maps[-1], self.attention.read(maps[-1])], dim=1))}


@models.register("psanet")
class PSANet(Dilated):
    """Point-wise spatial attention on a dilated residual network.

    While training the output is a dict of ``"out"`` and, unless ``side=False``, ``"aux"``, which the authors
    weigh by 0.4.

    Args:
        classes: Channels of the output.
        encoder: See ``build_encoder``. Paper: ``"resnet50"`` and ``"resnet101"``.
        in_channels: Channels of the images.
        output_stride: Stride of the map that the attention halves. Paper: 8.
        pretrained_encoder: Fetch the weights of the published classifier; the stem is then one convolution.
        side: Whether the second last stage has a classifier of its own, for training.
        size: Positions, a side of the halved map, up to which all pairs have a weight. Paper: 30 for crops of
            465 pixels, 49 for 769.
        dropout: Share of the channels dropped before each classification. Paper: 0.1.
        options: The encoder's. For the plain residual networks ``stem="deep"`` and ``dilate_first=True``,
            the authors', unless they say otherwise.

    Example:
        >>> import torch
        >>> PSANet(classes=5, encoder="resnet18", size=9).eval()(torch.rand(1, 3, 33, 47)).shape
        torch.Size([1, 5, 33, 47])
    """

    aux_weights: ClassVar[Mapping[str, float]] = {"aux": 0.4}

    def __init__(
        self,
        *,
        classes: int,
        encoder: str = "resnet50",
        in_channels: int = 3,
        output_stride: int = 8,
        pretrained_encoder: bool = False,
        side: bool = True,
        size: int = 30,
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
        head = PointWiseHead(built.channels[-1], classes, size=size, dropout=dropout)
        super().__init__(classes, built, head, side=side, dropout=dropout)

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return weights in the authors' names (semseg's) under those of this model."""
        named = renamed(state, RULES, self.state_dict(), spare=r"^side\.")
        return {name: _as_mask(value) if name.endswith(".mask") else value for name, value in named.items()}


def _as_mask(weight: Tensor) -> Tensor:
    """Return a 1 x 1 convolution's weights, one output a step, as (channels, steps down, steps along)."""
    side = round(weight.shape[0] ** 0.5)
    return weight.flatten(1).T.unflatten(1, (side, side)) if weight.ndim == 4 else weight
