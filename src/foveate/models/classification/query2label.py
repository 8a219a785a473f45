"""Query2Label's network: every class queries a residual network's last map through a small transformer.

Paper   Liu, Zhang, Yang, Su, Zhu. Query2Label: A Simple Transformer Way to Multi-Label Classification. 2021.
        arXiv:2107.10834, section 3.
Shapes  images (B, C, H, W) -> logits (B, classes), for a sigmoid.
Cost    the encoder's, and those of ``query2label``: with ResNet-101 and 80 classes 193,906,832 parameters.
Differs in training: no dropout, and the encoder's normalisations learn; the authors have 0.1, and freeze
        them at ImageNet's statistics. In evaluation nothing, for images of the size of training: the authors'
        sines are made for that alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from foveate.mechanisms.label.query2label import Query2Label
from foveate.models.classification.label_network import LabelNetwork, build_backbone
from foveate.models.names import models

_BODY = "backbone.0.body."
_SINES = "backbone.1.pe"


@models.register("query2label")
class Query2LabelNetwork(LabelNetwork):
    """A transformer whose queries are the classes, on an encoder's last map.

    Args:
        classes: Length of the output.
        backbone: The encoder; see ``build_encoder``. Paper: ``"resnet101"``, and larger ones.
        in_channels: Channels of the images.
        pretrained_encoder: Fetch the weights of the published classifier.
        width: d of the transformer; None for the channels of the encoder's last map.
        heads: Number of heads; must divide ``width``. Paper: 4.
        encoder_layers: Layers in which the positions attend to each other. Paper: 1.
        decoder_layers: Layers in which the classes attend to the positions. Paper: 2.
        feedforward: Width of the hidden linear layer; None for 4 * ``width``. Authors: 8192.
        self_attention: Whether the classes attend to each other. Authors' files: False.
        positions: ``"detr"``, the authors' sines, or ``"sine2d"``, which do not change with the size.
        embed: Whether a 1 x 1 convolution comes first; None where ``width`` is not the encoder's.
        options: The encoder's.

    Raises:
        UnknownNameError: There is no such backbone.
        OptionError: An option does not exist or is out of range.

    Example:
        >>> import torch
        >>> model = Query2LabelNetwork(classes=5, backbone="resnet18", width=64).eval()
        >>> model(torch.rand(2, 3, 64, 48)).shape
        torch.Size([2, 5])
    """

    attention: Query2Label

    def __init__(
        self,
        *,
        classes: int,
        backbone: str = "resnet101",
        in_channels: int = 3,
        pretrained_encoder: bool = False,
        width: int | None = None,
        heads: int = 4,
        encoder_layers: int = 1,
        decoder_layers: int = 2,
        feedforward: int | None = None,
        self_attention: bool = False,
        positions: str = "detr",
        embed: bool | None = None,
        **options: Any,
    ) -> None:
        encoder = build_backbone(backbone, in_channels=in_channels, pretrained=pretrained_encoder, **options)
        channels = encoder.channels[-1]
        width = channels if width is None else width
        attention = Query2Label(
            channels,
            classes=classes,
            width=width,
            heads=heads,
            encoder_layers=encoder_layers,
            decoder_layers=decoder_layers,
            feedforward=feedforward,
            self_attention=self_attention,
            positions=positions,
            embed=width != channels if embed is None else embed,
        )
        super().__init__(encoder, attention, classes)

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return weights in the authors' names under our own.

        Raises:
            CheckpointError: The classes attend to each other in the first layer too, which ours cannot.
        """
        if not any(name.startswith(_BODY) for name in state):
            return dict(state)
        body = {f"encoder.{n.removeprefix(_BODY)}": v for n, v in state.items() if n.startswith(_BODY)}
        rest = {n: v for n, v in state.items() if n != _SINES and not n.startswith(_BODY)}
        named = self.attention.from_published(rest)
        return {**body, **{f"attention.{name}": value for name, value in named.items()}}
