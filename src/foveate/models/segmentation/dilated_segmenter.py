"""The frame that most attention heads share: a dilated encoder, the head, and a side head for training."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.models.encoders.build_encoder import build_encoder
from foveate.models.encoders.encoder import Encoder
from foveate.models.segmentation.blocks import side_head
from foveate.models.segmentation.segmenter import Segmenter
from foveate.options import reduced


class Head(nn.Module):
    """Turns an encoder's maps into logits.

    Attributes:
        aux: Names of its outputs besides ``"out"`` while training.
        reads: How many of the maps it reads, the coarsest.
    """

    aux: tuple[str, ...] = ()
    reads: int = 1

    @abstractmethod
    def forward(self, maps: list[Float[Tensor, "b _ _ _"]]) -> dict[str, Tensor]:
        """Return logits by name, at the size of the last map."""


class Dilated(Segmenter):
    """An encoder whose last two maps have one size, a head, and perhaps a side head on the second last map.

    Args:
        classes: Channels of the output.
        encoder: Images to maps.
        head: On its maps.
        side: Whether the second last map has a head of its own while training: the output ``"aux"``.
        dropout: Share of the channels dropped before the side head's scores.
        narrow: How many times narrower the side head is than its map.
        bias: Whether the side head's convolution has a bias.
        leak: Slope of the side head's activation below zero.
    """

    align_corners = True

    def __init__(
        self,
        classes: int,
        encoder: Encoder,
        head: Head,
        *,
        side: bool,
        dropout: float,
        narrow: int = 4,
        bias: bool = False,
        leak: float = 0.0,
    ) -> None:
        super().__init__(classes, encoder.in_channels)
        self.encoder, self.head = encoder, head
        self.side: nn.Module | None = None
        if side:
            width = encoder.channels[-2]
            self.side = side_head(
                width, reduced(width, narrow), classes, dropout=dropout, bias=bias, leak=leak
            )
        encoder.wanted = max(head.reads, 2 if side else 1)
        self.aux = (*head.aux, *(("aux",) if side else ()))

    def heads(self, x: Float[Tensor, "b c h w"]) -> dict[str, Tensor]:
        """Return the head's logits and, while training, those of the side head."""
        maps = self.encoder(x)
        logits: dict[str, Tensor] = self.head(maps)
        if self.training and self.side is not None:
            logits["aux"] = self.side(maps[-2])
        return logits


def dilated_encoder(
    name: str,
    options: Mapping[str, Any],
    *,
    in_channels: int,
    output_stride: int,
    pretrained: bool,
    authors: Mapping[str, Any],
) -> Encoder:
    """Return an encoder of at least two maps, with the authors' options unless the user has set them.

    Args:
        name: See ``build_encoder``.
        options: The user's options of the encoder.
        in_channels: Channels of the images.
        output_stride: The greatest stride.
        pretrained: Whether to fetch the published weights; the stem is then a single convolution.
        authors: The authors' options, for the plain residual networks.

    Raises:
        OptionError: The encoder gives one map only, or see ``build_encoder``.
    """
    if re.fullmatch(r"resnet(18|34|50|101|152)", name):
        without_stem = {key: value for key, value in authors.items() if key != "stem"}
        options = {**(without_stem if pretrained else authors), **options}
    encoder = build_encoder(
        name, in_channels=in_channels, output_stride=output_stride, pretrained=pretrained, **options
    )
    if len(encoder.channels) < 2:
        raise OptionError(f"encoder: {name} gives one map, expected one that gives at least two")
    return encoder
