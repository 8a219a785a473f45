"""CSRA's network: every class pools its own score map over a residual network or a vision transformer.

Paper   Zhu, Wu. Residual Attention: A Simple but Effective Method for Multi-Label Recognition. ICCV 2021.
        arXiv:2108.02456, section 3.
Shapes  images (B, C, H, W) -> logits (B, classes), for a sigmoid.
Cost    the encoder's, and those of ``csra``: with ResNet-101, one head and 20 classes 42,541,120 parameters.
Differs none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from foveate.mechanisms.label.csra import ClassSpecificResidualAttention
from foveate.models.classification.label_network import LabelNetwork, TokenEncoder, build_backbone
from foveate.models.names import models


@models.register("csra")
class CSRA(LabelNetwork):
    """Class-specific residual attention over an encoder's last map.

    Args:
        classes: Length of the output.
        backbone: The encoder; see ``build_encoder``; or a vision transformer of timm. Paper: ``"resnet101"``,
            ``"timm/vit_base_patch16_224"``, ``"timm/vit_large_patch16_224"``.
        in_channels: Channels of the images.
        pretrained_encoder: Fetch the weights of the published classifier.
        heads: Number of linear heads; their logits are summed. Paper: 1 on VOC, 4 and more on COCO.
        lam: Weight of the attended score. Not in the authors' files, but in their names.
        temperatures: One per head; None takes the paper's for this number of heads.
        options: The encoder's.

    Raises:
        UnknownNameError: There is no such backbone.
        OptionError: An option does not exist or is out of range.

    Example:
        >>> import torch
        >>> CSRA(classes=5, backbone="resnet18").eval()(torch.rand(2, 3, 64, 48)).shape
        torch.Size([2, 5])
    """

    attention: ClassSpecificResidualAttention

    def __init__(
        self,
        *,
        classes: int,
        backbone: str = "resnet101",
        in_channels: int = 3,
        pretrained_encoder: bool = False,
        heads: int = 1,
        lam: float = 0.1,
        temperatures: Sequence[float] | None = None,
        **options: Any,
    ) -> None:
        encoder = build_backbone(backbone, in_channels=in_channels, pretrained=pretrained_encoder, **options)
        attention = ClassSpecificResidualAttention(
            encoder.channels[-1], classes=classes, heads=heads, lam=lam, temperatures=temperatures
        )
        super().__init__(encoder, attention, classes)

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return weights in the authors' names under our own.

        Raises:
            CheckpointError: They have another number of heads.
        """
        if not any(name.startswith("classifier.multi_head.") for name in state):
            return dict(state)
        head = {n.removeprefix("classifier."): v for n, v in state.items() if n.startswith("classifier.")}
        named = self.attention.from_published(head)
        place = "encoder.network." if isinstance(self.encoder, TokenEncoder) else "encoder."
        rest = {f"{place}{n}": v for n, v in state.items() if not n.startswith("classifier.")}
        return {**rest, **{f"attention.{name}": value for name, value in named.items()}}
