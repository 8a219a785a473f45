"""Selections that weigh nothing: patches at given places, each counted alike. The controls of all others."""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from foveate.large_pictures import LargePictures
from foveate.mechanisms.base import Select, Selection
from foveate.mechanisms.facets import Cost
from foveate.mechanisms.selecting.overview_select import add_taps
from foveate.options import whole


class UnweighedSelect(Select):
    """Take patches without looking, and count them alike.

    Args:
        channels: Of the pictures.
        patches: How many are taken from each picture.
        size: Side of a patch in pixels.

    Raises:
        OptionError: A number is not positive and whole.
    """

    def __init__(self, channels: int, *, patches: int = 10, size: int = 50) -> None:
        super().__init__()
        self.channels, self.size = whole("channels", channels), whole("size", size)
        self.patches = whole("patches", patches)
        add_taps(self)

    @abstractmethod
    def corners(self, pictures: LargePictures) -> Int64[Tensor, "b k 2"]:
        """Return the top left pixel of each patch."""

    def select(
        self, pictures: LargePictures | Float[Tensor, "b c h w"], encoder: nn.Module | None = None
    ) -> Selection:
        """Return the patches, with equal weights."""
        pictures = self._taken(pictures)
        places = self.places(self.corners(pictures))
        patches = pictures.windows(places, (self.size, self.size))
        kind = torch.promote_types(patches.dtype, torch.float32)
        equal = torch.full(places.shape[:2], 1 / self.patches, dtype=kind, device=patches.device)
        return Selection(patches, places, self.weights(equal))

    def count(self, height: int, width: int) -> int:
        """Return K for pictures of this size."""
        return self.patches

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        return Cost(0, 0, 0)


def sizes_of(pictures: LargePictures) -> Int64[Tensor, "_ 2"]:
    """Return height and width of each picture, once if they are all alike."""
    own = [pictures.canvas] if pictures.of_one_size else list(pictures.sizes)
    return torch.tensor(own, device=pictures.device)
