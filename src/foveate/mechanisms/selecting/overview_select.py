"""What the selections that decide by an overview share: its scores, and the taps to see them through."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from foveate.errors import OptionError
from foveate.large_pictures import LargePictures, Size, overview_size
from foveate.mechanisms.base import Select
from foveate.mechanisms.facets import Cost
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.selecting.overview_scores import OverviewScores, macs, parameters
from foveate.mechanisms.selecting.places import grid_of
from foveate.options import between, positive, whole


class OverviewSelect(Select):
    """Select patches by an overview.

    Args:
        channels: Of the pictures.
        size: Side of a patch in pixels.
        scale: Of the overview, in (0, 1].
        hidden: Width of the network that scores the overview.

    Raises:
        OptionError: A number is out of range.
    """

    def __init__(self, channels: int, *, size: int, scale: float, hidden: int) -> None:
        super().__init__()
        self.channels, self.size = whole("channels", channels), whole("size", size)
        self.scale = positive("scale", between("scale", scale, 0, 1))
        self.scores = OverviewScores(channels, whole("hidden", hidden))
        self.map = MapTap("b h w", sums="h w")
        add_taps(self)

    def cost(self, height: int, width: int) -> Cost:
        """Return the cost of scoring the overview of a picture of this size; cutting is free."""
        rows, columns = overview_size((height, width), self.scale)
        hidden = self.scores.first.out_channels
        number = parameters(self.channels, hidden)
        return Cost(number, macs(self.channels, hidden, rows, columns), 4 * number)


class GridSelect(OverviewSelect):
    """Select patches of a grid that covers the picture.

    Args:
        channels: Of the pictures.
        size: Side of a patch in pixels.
        stride: Pixels from one patch of the grid to the next; None takes ``size``: they touch.
        scale: Of the overview.
        hidden: Width of the network that scores the overview.

    Raises:
        OptionError: A number is out of range.
    """

    def __init__(self, channels: int, *, size: int, stride: int | None, scale: float, hidden: int) -> None:
        super().__init__(channels, size=size, scale=scale, hidden=hidden)
        self.stride = stride_of(stride, size)

    def grid(self, size: Size) -> Size:
        """Return rows and columns of patches of a picture of this size."""
        return grid_of(size, self.size, self.stride)

    def grid_scores(self, pictures: LargePictures) -> Float[Tensor, "b i j"]:
        """Return a score for each patch: the mean of the overview's scores that it covers."""
        scores = self.scores(pictures.overview(self.scale))
        return F.adaptive_avg_pool2d(scores.unsqueeze(1), self.grid(pictures.canvas)).squeeze(1)


def add_taps(module: Select) -> None:
    """Give a selection the taps that its places and weights flow through."""
    module.places = MapTap("b t x", low=-math.inf, high=math.inf)
    module.weights = MapTap("b t")


def stride_of(stride: int | None, size: int) -> int:
    """Return the stride of a grid, ``size`` by default.

    Raises:
        OptionError: It is larger than the patches, which would leave gaps.
    """
    found = size if stride is None else whole("stride", stride)
    if found > size:
        raise OptionError(f"stride: got {stride}, expected at most size={size}, or pixels would be left out")
    return found
