"""Networks of timm as encoders."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jaxtyping import Float
from torch import Tensor

from foveate.models.encoders.encoder import Encoder


class TimmEncoder(Encoder):
    """A network of timm, as its ``features_only`` gives it.

    Args:
        network: From ``timm.create_model(name, features_only=True)``.
        output_stride: The stride it was created with.
    """

    def __init__(self, network: Any, *, output_stride: int = 32) -> None:
        super().__init__()
        info = network.feature_info
        self.network = network
        self.channels_last = getattr(network, "output_fmt", "NCHW") == "NHWC"
        self.channels, self.strides = tuple(info.channels()), tuple(info.reduction())
        self.in_channels = 3

    def maps(self, x: Float[Tensor, "b c h w"]) -> Iterator[Float[Tensor, "b _ _ _"]]:
        """Yield timm's maps, with the channels before the rows."""
        for y in self.network(x):
            yield y.permute(0, 3, 1, 2).contiguous() if self.channels_last else y
