"""The form that most attention heads share: a dilated encoder, the head, and a side head for training."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.models.encoders.encoder import Encoder
from foveate.models.segmentation.segmenter import Segmenter


class Head(nn.Module):
    """What turns an encoder's maps into logits.

    Attributes:
        aux: Names of what it returns beside ``"out"`` while training.
        reads: How many of the maps it reads, the coarsest.
    """

    aux: tuple[str, ...] = ()
    reads: int = 1

    @abstractmethod
    def forward(self, maps: list[Float[Tensor, "b _ _ _"]]) -> dict[str, Tensor]:
        """Return logits by name, at the size of the last map."""


class Dilated(Segmenter):
    """An encoder whose last two maps are of one size, a head, and perhaps a side head on the second last.

    Args:
        classes: Channels of the output.
        encoder: Images to maps.
        head: On its maps.
        side: On its second last map, while training: the output ``"aux"``. None for none.
    """

    align_corners = True

    def __init__(self, classes: int, encoder: Encoder, head: Head, side: nn.Module | None) -> None:
        super().__init__(classes, encoder.in_channels)
        self.encoder, self.head = encoder, head
        self.side = side
        encoder.wanted = max(head.reads, 1 if side is None else 2)
        self.aux = (*head.aux, *(() if side is None else ("aux",)))

    def heads(self, x: Float[Tensor, "b c h w"]) -> dict[str, Tensor]:
        """Return the head's logits and, while training, those of the side head."""
        maps = self.encoder(x)
        logits: dict[str, Tensor] = self.head(maps)
        if self.training and self.side is not None:
            logits["aux"] = self.side(maps[-2])
        return logits


def widths(encoder: Encoder) -> tuple[int, int]:
    """Return the channels of an encoder's last two maps.

    Raises:
        OptionError: It has one map only.
    """
    if len(encoder.channels) < 2:
        raise OptionError("encoder: it gives one map, expected one that gives at least two")
    return encoder.channels[-2], encoder.channels[-1]


def as_authors(encoder: str, options: Mapping[str, Any], pretrained: bool, **own: Any) -> dict[str, Any]:
    """Return the encoder's options with the authors' where nothing is said; for plain residual networks only.

    Args:
        encoder: Its name.
        options: What is said.
        pretrained: Whether published weights are to fit it: then the stem stays one convolution.
        own: The authors' options beside a stem of three convolutions.
    """
    if not re.fullmatch(r"resnet(18|34|50|101|152)", encoder):
        return dict(options)
    return {**own, **({} if pretrained else {"stem": "deep"}), **options}
