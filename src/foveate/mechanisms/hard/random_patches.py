"""Random patches: the control of all selections, which looks as often and knows nothing.

Formula places uniform over those that lie inside the picture, drawn again in every training step; at
        inference the same share of height and width for every picture, frac(k * (1/g, 1/g^2)) with
        g^3 = g + 1, k = 1 .. K, a sequence that spreads evenly. Weights 1/K.
Paper   none: a control. The sequence: Roberts. The Unreasonable Effectiveness of Quasirandom Sequences. 2018.
Shapes  pictures (B, C, H, W) -> patches (B, K, C, size, size), places (B, K, 2), weights (B, K)
Cost    parameters 0, MACs 0
Differs our own.
"""

from __future__ import annotations

import torch
from jaxtyping import Int64
from torch import Tensor

from foveate.large_pictures import LargePictures
from foveate.mechanisms.base import mechanisms
from foveate.mechanisms.facets import Facets
from foveate.mechanisms.selecting.unweighed import UnweighedSelect, sizes_of

_PLASTIC = 1.3247179572447460  # the real root of g^3 = g + 1


@mechanisms.register("random_patches")
class RandomPatches(UnweighedSelect):
    """Take patches at random places, all inside the picture, and count them alike.

    Args:
        channels: Of the pictures.
        patches: How many are taken from each picture.
        size: Side of a patch in pixels.

    Raises:
        OptionError: A number is not positive and whole.

    Example:
        >>> import torch
        >>> RandomPatches(3, patches=4, size=20)(torch.rand(2, 3, 90, 60))[0].shape
        torch.Size([2, 4, 3, 20, 20])
    """

    facets = Facets(over=("patches",), driven_by="input", weighting="hard", sites=("input",))
    variants = {"patches": 2, "size": 5}

    def corners(self, pictures: LargePictures) -> Int64[Tensor, "b k 2"]:
        """Return random places; at inference the same share of height and width for every picture."""
        room = (sizes_of(pictures) - self.size + 1).clamp_min(1).unsqueeze(1)  # rows and columns to begin at
        if self.training:
            share = torch.rand(pictures.number, self.patches, 2, device=pictures.device, dtype=torch.float64)
        else:
            numbers = torch.arange(1, self.patches + 1, device=pictures.device, dtype=torch.float64)
            share = torch.stack([numbers / _PLASTIC, numbers / _PLASTIC**2], dim=1).frac()
        return (share * room).floor().long().expand(pictures.number, -1, -1)
