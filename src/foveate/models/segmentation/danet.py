"""DANet: position attention and channel attention side by side on the last map, and their sum.

Paper   Fu, Liu, Tian, Li, Bao, Fang, Lu. Dual Attention Network for Scene Segmentation. CVPR 2019.
        arXiv:1809.02983.
Shapes  images (B, C, H, W) -> logits (B, classes, H, W); the attention works at stride 8 on a quarter of the
        encoder's last channels.
Cost    with resnet101 and 19 classes 66,454,779 parameters, the head's 23,954,619 of them.
Differs none; where the authors return three outputs in evaluation too, the two of one attention each come
        in training only. The released Cityscapes model has multi_grid=(1, 2, 4), others stem="deep" too.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from foveate.mechanisms.pairwise.channel import ChannelAttention
from foveate.mechanisms.pairwise.position import PositionAttention
from foveate.models.names import models
from foveate.models.segmentation.blocks import convolve, scores
from foveate.models.segmentation.dilated_segmenter import Dilated, Head, dilated_encoder
from foveate.models.weight_names import Rules, renamed
from foveate.options import reduced

RULES: Rules = (
    (r"^pretrained\.(?!fc\.)", "encoder."),
    (r"^head\.conv5a\.", "head.to_position."),
    (r"^head\.conv5c\.", "head.to_channel."),
    (r"^head\.sa\.(query|key|value)_conv\.", r"head.position.\1."),
    (r"^head\.sa\.", "head.position."),
    (r"^head\.sc\.", "head.channel."),
    (r"^head\.conv51\.", "head.from_position."),
    (r"^head\.conv52\.", "head.from_channel."),
    (r"^head\.conv6\.", "head.position_scores."),
    (r"^head\.conv7\.", "head.channel_scores."),
    (r"^head\.conv8\.", "head.scores."),
    (r"^auxlayer\.conv5\.", "side."),
)
_log = logging.getLogger("foveate")
SPARE = r"^side\.|^pretrained\.fc\."


class DualHead(Head):
    """Two attentions, each between two convolutions, summed and classified.

    Args:
        channels: Channels of the last map.
        classes: Channels of the output.
        dropout: Share of the channels dropped before each classification. Paper: 0.1.
        paper: Whether channels are weighed by agreement, as in the paper, and not as in its code.

    Example:
        >>> import torch
        >>> sorted(DualHead(64, 5)([torch.rand(2, 64, 7, 5)]))
        ['aux_channel', 'aux_position', 'out']
    """

    aux = ("aux_position", "aux_channel")

    def __init__(self, channels: int, classes: int, *, dropout: float = 0.1, paper: bool = False) -> None:
        super().__init__()
        width = reduced(channels, 4)
        self.to_position, self.to_channel = convolve(channels, width), convolve(channels, width)
        self.position, self.channel = PositionAttention(width), ChannelAttention(width, paper=paper)
        self.from_position, self.from_channel = convolve(width, width), convolve(width, width)
        self.position_scores = scores(width, classes, dropout=dropout)
        self.channel_scores = scores(width, classes, dropout=dropout)
        self.scores = scores(width, classes, dropout=dropout)

    def forward(self, maps: list[Float[Tensor, "b _ _ _"]]) -> dict[str, Tensor]:
        """Return the logits of the sum and, while training, those of each attention."""
        position = self.from_position(self.position(self.to_position(maps[-1])))
        channel = self.from_channel(self.channel(self.to_channel(maps[-1])))
        logits = {"out": self.scores(position + channel)}
        if self.training:
            logits["aux_position"] = self.position_scores(position)
            logits["aux_channel"] = self.channel_scores(channel)
        return logits


@models.register("danet")
class DANet(Dilated):
    """Dual attention on a dilated residual network.

    While training the output is a dict of ``"out"``, ``"aux_position"``, ``"aux_channel"`` and, with
    ``side=True``, ``"aux"``.

    Args:
        classes: Channels of the output.
        encoder: See ``build_encoder``. Paper: ``"resnet101"`` or ``"resnet50"``.
        in_channels: Channels of the images.
        output_stride: Stride of the map that the attention works on. Paper: 8.
        pretrained_encoder: Fetch the weights of the published classifier.
        side: Whether the second last stage has a classifier of its own, for training.
        dropout: Share of the channels dropped before each classification. Paper: 0.1.
        paper: Whether channels are weighed by agreement, as in the paper, and not as in its code.
        options: The encoder's, such as ``multi_grid=(1, 2, 4)`` for the dilations of its last blocks.

    Example:
        >>> import torch
        >>> DANet(classes=5, encoder="resnet18").eval()(torch.rand(1, 3, 33, 47)).shape
        torch.Size([1, 5, 33, 47])
    """

    aux_weights: ClassVar[Mapping[str, float]] = {"aux_position": 1.0, "aux_channel": 1.0, "aux": 0.4}

    def __init__(
        self,
        *,
        classes: int,
        encoder: str = "resnet101",
        in_channels: int = 3,
        output_stride: int = 8,
        pretrained_encoder: bool = False,
        side: bool = False,
        dropout: float = 0.1,
        paper: bool = False,
        **options: Any,
    ) -> None:
        built = dilated_encoder(
            encoder,
            options,
            in_channels=in_channels,
            output_stride=output_stride,
            pretrained=pretrained_encoder,
            authors={},
        )
        head = DualHead(built.channels[-1], classes, dropout=dropout, paper=paper)
        super().__init__(classes, built, head, side=side, dropout=dropout)
        self.multi_grid = options.get("multi_grid")

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return weights in the authors' names (PyTorch-Encoding's form) under those of this model.

        No name or shape shows whether the network had ``multi_grid``; a model without it logs a warning.
        """
        if self.multi_grid is None and any(name.startswith("pretrained.layer4.") for name in state):
            _log.warning(
                "nothing in the file shows the dilations of its last blocks: the released Cityscapes model "
                "has multi_grid=(1, 2, 4), this one has none"
            )
        return renamed(state, RULES, self.state_dict(), spare=SPARE)
