"""The interface of every encoder: images in, feature maps of falling size out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

from jaxtyping import Float
from torch import Tensor, nn

STRIDES = (2, 4, 8, 16, 32)


class Encoder(nn.Module):
    """Images to maps, the finest first.

    Attributes:
        channels: Channels of each map.
        strides: Pixels of the image per position of each map, in each direction.
        in_channels: Channels of the images.
        wanted: How many of the coarsest maps are returned; None for all. The finest take most of the memory,
            so a head that does not read them should not keep them.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    in_channels: int
    wanted: int | None = None

    @abstractmethod
    def maps(self, x: Float[Tensor, "b c h w"]) -> Iterator[Float[Tensor, "b _ _ _"]]:
        """Yield the maps, each ``ceil(size / stride)`` high and wide."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Return the wanted maps."""
        first = 0 if self.wanted is None else len(self.channels) - self.wanted
        return [y for number, y in enumerate(self.maps(x)) if number >= first]
