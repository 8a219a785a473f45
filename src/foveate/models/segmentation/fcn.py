"""Fully convolutional network on a dilated residual network: the baseline without a decoder or attention.

Formula y = resize(head(f4)), head = 1x1(dropout(relu(BN(3x3(f)))))
Paper   Long, Shelhamer, Darrell. Fully Convolutional Networks for Semantic Segmentation. CVPR 2015.
        arXiv:1411.4038.
Shapes  images (B, C, H, W) -> logits (B, classes, H, W).
Cost    35,322,218 and 54,314,346 parameters for ResNet-50 and -101, 21 classes and the side head.
Differs the network and the names of weights are torchvision's: a dilated ResNet, not the paper's VGG
        with skips.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from foveate.models.classification.resnet_blocks import initialise
from foveate.models.encoders.build_encoder import build_encoder
from foveate.models.names import models
from foveate.models.segmentation.blocks import convolve
from foveate.models.segmentation.segmenter import Segmenter
from foveate.models.weight_names import renamed
from foveate.options import reduced

_RULES = (
    (r"^backbone\.", "encoder."),
    (r"^classifier\.", "head."),
    (r"^aux_classifier\.", "side."),
)


@models.register("fcn")
class FCN(Segmenter):
    """A classifier at every position of a dilated network's last map.

    While training the output is a dict of ``"out"`` and, unless ``side=False``, ``"aux"``, which torchvision
    weighs by 0.5.

    Args:
        classes: Channels of the output.
        encoder: See ``build_encoder``.
        in_channels: Channels of the images.
        output_stride: Stride of the last map.
        pretrained_encoder: Fetch the weights of the published classifier.
        side: Whether the second last stage has a classifier of its own, for training.
        options: The encoder's.

    Example:
        >>> import torch
        >>> FCN(classes=5, encoder="resnet18").eval()(torch.rand(1, 3, 33, 47)).shape
        torch.Size([1, 5, 33, 47])
    """

    aux_weights: ClassVar[Mapping[str, float]] = {"aux": 0.5}

    def __init__(
        self,
        *,
        classes: int,
        encoder: str = "resnet50",
        in_channels: int = 3,
        output_stride: int = 8,
        pretrained_encoder: bool = False,
        side: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(classes, in_channels)
        self.encoder = build_encoder(
            encoder,
            in_channels=in_channels,
            output_stride=output_stride,
            pretrained=pretrained_encoder,
            **options,
        )
        self.encoder.wanted = 2
        self.head = classifier(self.encoder.channels[-1], classes)
        self.aux = ("aux",) if side else ()
        if side:
            self.side = classifier(self.encoder.channels[-2], classes)

    def heads(self, x: Float[Tensor, "b c h w"]) -> dict[str, Float[Tensor, "b q _ _"]]:
        """Return the logits of the last map, and while training those of the one before it."""
        maps = self.encoder(x)
        logits = {"out": self.head(maps[-1])}
        if self.training and self.aux:
            logits["aux"] = self.side(maps[-2])
        return logits

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return torchvision's weights under the names that this network has."""
        return renamed(state, _RULES, self.state_dict(), spare=r"^side\.")


def classifier(channels: int, classes: int) -> nn.Sequential:
    """Return the head: a 3 x 3 convolution to a quarter of the channels, then logits."""
    width = reduced(channels, 4)
    head = nn.Sequential(*convolve(channels, width), nn.Dropout(0.1), nn.Conv2d(width, classes, 1))
    initialise(head)
    return head
