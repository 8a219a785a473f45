"""Side fusion of U2-Net: the side outputs of a network, weighed against each other.

Formula conv: y = sum_s A_s U_s + b; softmax: y = sum_s softmax(theta)_s U_s;
        spatial: y = sum_s softmax_s(conv3x3([U_1; ...; U_S]) + b)_s U_s at every position
Paper   Qin, Zhang, Huang, Dehghan, Zaiane, Jagersand. U2-Net: Going Deeper with Nested U-Structure for
        Salient Object Detection. Pattern Recognition 106, 2020. arXiv:2005.09007, section 3.2.
Shapes  S maps (B, C, H, W) -> (B, C, H, W); map of conv (B, C, S, C), the matrices A_s, of any size and sign;
        of softmax (B, S) and of spatial (B, S, H, W), which sum to 1 over the S sides.
Cost    parameters and MACs: conv S*C*C + C and S*C*C*H*W; softmax S and 0; spatial 9*S*C*S + S and
        9*S*C*S*H*W.
Differs none by default. The authors fuse by a fixed 1x1 convolution, which is kind="conv"; the other two
        are ours, for weights that sum to 1, and start as the mean of the sides.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.mechanisms.base import Fuse, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.gating import mixture
from foveate.mechanisms.kernels.pointwise_convolution import through_tap
from foveate.mechanisms.kernels.resizing import fitted
from foveate.mechanisms.map_tap import MapTap
from foveate.options import each_width, one_of, one_width


@mechanisms.register("side_fusion")
class SideFusion(Fuse):
    """Sum the side outputs of a network under learnt weights.

    Args:
        channels: C of the maps, as a rule the number of classes.
        maps: How many side outputs. Paper: 6.
        kind: "conv" (authors): a matrix for each side; "softmax": a share for each side; "spatial": a share
            for each side at each position, computed from the sides.

    Raises:
        OptionError: ``kind`` is unknown, or the maps differ in channels.

    Example:
        >>> import torch
        >>> sides = [torch.rand(2, 1, size, size) for size in (33, 17, 9)]
        >>> SideFusion(1, maps=3)(sides).shape
        torch.Size([2, 1, 33, 33])
    """

    facets = Facets(over=("scales",), driven_by="input", weighting="soft", sites=("output",))
    variants = {"maps": 3, "kind": "spatial"}

    def __init__(
        self,
        channels: int | tuple[int, ...],
        *,
        maps: int = 6,
        kind: Literal["conv", "softmax", "spatial"] = "conv",
    ) -> None:
        super().__init__()
        one_of("kind", kind, ("conv", "softmax", "spatial"))
        self.widths = each_width(channels, maps)
        self.channels = self.out_channels = one_width(self.widths)
        self.kind = kind
        wide = maps * self.channels
        if kind == "conv":
            self.fuse = nn.Conv2d(wide, self.channels, kernel_size=1)
            self.map = MapTap("b c s m", low=-math.inf, high=math.inf)
        elif kind == "softmax":
            self.theta = nn.Parameter(torch.zeros(maps))
            self.map = MapTap("b s", sums="s")
        else:
            self.weigh = nn.Conv2d(wide, maps, kernel_size=3, padding=1)
            nn.init.zeros_(self.weigh.weight)
            nn.init.zeros_(self.weigh.bias)  # type: ignore[arg-type]
            self.map = MapTap("b s h w", sums="s")

    def forward(self, maps: list[Float[Tensor, "b _ _ _"]]) -> Float[Tensor, "b o h w"]:
        """Return the weighted sum."""
        self._check_maps(maps)
        sides = fitted(maps)
        if self.kind == "conv":
            shape = self.channels, len(sides), self.channels
            return through_tap(self.fuse, torch.cat(sides, dim=1), self.map, shape)
        if self.kind == "softmax":
            shares = self.map(self.theta.softmax(dim=0).expand(sides[0].shape[0], -1))
            return mixture(sides, shares[:, :, None, None, None])
        shares = self.map(self.weigh(torch.cat(sides, dim=1)).softmax(dim=1))
        return mixture(sides, shares.unsqueeze(2))

    def fusion_weights(self) -> Tensor:
        """Return the learnt weights of the sides: (C, S, C) from the last to the first axis, or shares (S,).

        Raises:
            OptionError: They depend on the input (kind="spatial"): read them with ``fv.record``.
        """
        if self.kind == "conv":
            return self.fuse.weight.view(self.channels, len(self.widths), self.channels)
        if self.kind == "softmax":
            return self.theta.softmax(dim=0)
        raise OptionError('kind: got "spatial", whose weights depend on the input. Read them with fv.record.')

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        sides = len(self.widths)
        wide = sides * self.channels
        weights = {"conv": wide * self.channels, "softmax": 0, "spatial": 9 * wide * sides}[self.kind]
        parameters = weights + {"conv": self.channels, "softmax": sides, "spatial": sides}[self.kind]
        return Cost(parameters, macs=weights * height * width, bytes=4 * parameters)
