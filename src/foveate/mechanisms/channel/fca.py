"""Frequency channel attention: squeeze-and-excitation on one cosine coefficient a channel, not on the means.

Formula f_c = sum_hw x_c d(u_c, h, H) d(v_c, w, W), d(u, h, H) = sqrt((1 if u = 0 else 2) / H)
        cos(pi u' (h + 1/2) / H), u' = u ceil(H / 7), the channels in one run for each pair (u, v);
        y = x * sigmoid(W2 relu(W1 f))
Paper   Qin, Zhang, Wu, Li. FcaNet: Frequency Channel Attention Networks. ICCV 2021. arXiv:2012.11979,
        section 3.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, C, 1, 1), gates in (0, 1).
Cost    with R = max(1, C // reduction): parameters 2*C*R, MACs 2*C*R + C*H*W; 16*C bytes of frequencies.
Differs the authors fix the cosines to the size of training and pool other maps to it; ours are computed for
        the given size. The pairs are the 16 lowest on a base of 7 x 7; select="top" has those of the
        authors' networks, each the best by itself on ImageNet. C need not be a multiple of their number.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.gating import gated
from foveate.mechanisms.map_tap import MapTap
from foveate.options import one_of, reduced, whole

BASE = 7  # the frequencies are those of a map of 7 x 7
PAIRS = {  # rows (u), then columns (v), in the authors' order
    "low": (
        (0, 0, 1, 1, 0, 2, 2, 1, 2, 0, 3, 4, 0, 1, 3, 0),
        (0, 1, 0, 1, 2, 0, 1, 2, 2, 3, 0, 0, 4, 3, 1, 5),
    ),
    "top": (
        (0, 0, 6, 0, 0, 1, 1, 4, 5, 1, 3, 0, 0, 0, 3, 2),
        (0, 1, 0, 5, 2, 0, 2, 0, 0, 6, 0, 4, 6, 3, 5, 2),
    ),
}


@mechanisms.register("fca")
class FrequencyChannelAttention(Refine):
    """Gate each channel by a two-layer function of one cosine coefficient of every channel.

    Args:
        channels: C of the map that it will receive.
        reduction: How many times narrower the hidden layer is. Paper: 16.
        frequencies: How many pairs of frequencies the channels share, 1 to 16. Paper: 16; 1 is the mean
            times sqrt(H*W).
        select: ``"low"`` for the lowest pairs, ``"top"`` for the most useful ones on ImageNet.

    Raises:
        OptionError: An option is out of range.

    Example:
        >>> import torch
        >>> FrequencyChannelAttention(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("channels",), driven_by="input", weighting="soft", sites=("features", "skip", "pool")
    )
    variants = {"reduction": 4, "frequencies": 2, "select": "top"}
    rows: Tensor
    columns: Tensor

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        frequencies: int = 16,
        select: Literal["low", "top"] = "low",
    ) -> None:
        super().__init__()
        one_of("select", select, PAIRS)
        if whole("frequencies", frequencies) > len(PAIRS[select][0]):
            raise OptionError(f"frequencies: got {frequencies}, expected at most {len(PAIRS[select][0])}")
        self.channels, self.hidden = channels, reduced(channels, reduction)
        pairs = torch.tensor(PAIRS[select])[:, torch.arange(channels) * frequencies // channels]
        self.register_buffer("rows", pairs[0].clone(), persistent=False)
        self.register_buffer("columns", pairs[1].clone(), persistent=False)
        self.squeeze = nn.Conv2d(channels, self.hidden, kernel_size=1, bias=False)
        self.excite = nn.Conv2d(self.hidden, channels, kernel_size=1, bias=False)
        self.map = MapTap("b c 1 1")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` with every channel multiplied by its gate."""
        self._check(x)
        gates = self.excite(self.squeeze(self.coefficients(x)).relu()).sigmoid()
        return gated(x, self.map(gates))

    def coefficients(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c 1 1"]:
        """Return the coefficient of each channel at the frequencies that are its own."""
        along_columns = x @ waves(self.columns, x.shape[3], x).unsqueeze(2)  # (B, C, H, 1): no copy of x
        return (along_columns * waves(self.rows, x.shape[2], x).unsqueeze(2)).sum(dim=2, keepdim=True)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        weights = 2 * self.channels * self.hidden
        macs = weights + self.channels * height * width
        return Cost(weights, macs, bytes=4 * weights + 16 * self.channels)


def waves(frequencies: Int[Tensor, " c"], length: int, like: Tensor) -> Float[Tensor, "c n"]:
    """Return one cosine of unit length for each of the ``frequencies``, at ``length`` positions."""
    kind = torch.promote_types(like.dtype, torch.float32)
    places = (torch.arange(length, device=like.device, dtype=kind) + 0.5) / length
    scaled = frequencies.to(kind) * ((length + BASE - 1) // BASE)
    size = (1 + (frequencies != 0).to(kind)).sqrt() / length**0.5
    return (size[:, None] * torch.cos(math.pi * scaled[:, None] * places)).to(like.dtype)
