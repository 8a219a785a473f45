"""Centre crops: a block of patches around the middle of the picture, where photographers aim.

Formula the first K of a block of touching patches, row by row, ceil(sqrt(K)) in a row, that is centred in the
        picture. Weights 1/K.
Paper   none: a control.
Shapes  pictures (B, C, H, W) -> patches (B, K, C, size, size), places (B, K, 2), weights (B, K)
Cost    parameters 0, MACs 0
Differs our own.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Int64
from torch import Tensor

from foveate.large_pictures import LargePictures
from foveate.mechanisms.base import mechanisms
from foveate.mechanisms.facets import Facets
from foveate.mechanisms.selecting.unweighed import UnweighedSelect, sizes_of


@mechanisms.register("centre_crops")
class CentreCrops(UnweighedSelect):
    """Take patches from the middle of the picture, and count them alike.

    Args:
        channels: Of the pictures.
        patches: How many are taken from each picture.
        size: Side of a patch in pixels.

    Raises:
        OptionError: A number is not positive and whole.

    Example:
        >>> import torch
        >>> CentreCrops(3, patches=4, size=20)(torch.rand(2, 3, 90, 60))[1][0].tolist()
        [[25, 10], [25, 30], [45, 10], [45, 30]]
    """

    facets = Facets(over=("patches",), driven_by="input", weighting="hard", sites=("input",))
    variants = {"patches": 2, "size": 5}

    def corners(self, pictures: LargePictures) -> Int64[Tensor, "b k 2"]:
        """Return the places of the block, row by row."""
        columns = math.isqrt(self.patches - 1) + 1
        rows = -(-self.patches // columns)
        numbers = torch.arange(self.patches, device=pictures.device)
        block = torch.stack([numbers // columns, numbers % columns], dim=1) * self.size
        sizes = sizes_of(pictures)
        spare = sizes - sizes.new_tensor([rows * self.size, columns * self.size])
        places = block + spare.div(2, rounding_mode="floor").unsqueeze(1)
        return places.expand(pictures.number, -1, -1)
