"""Gated channel transformation: channels compete by their norms, or cooperate, as one number each decides.

Formula e_c = alpha_c * sqrt(sum_hw x_c^2 + eps), n_c = gamma_c * e_c / sqrt(mean_c e^2 + eps);
        y = x * (1 + tanh(n + beta)). With norm="l1": e_c = alpha_c * sum_hw |x_c|,
        n_c = gamma_c * e_c / (mean_c |e| + eps)
Paper   Yang, Zhu, Wu, Yang. Gated Channel Transformation for Visual Recognition. CVPR 2020.
        arXiv:1909.11519, section 3, equations 2 to 6.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, C, 1, 1), half of each gate, (1 + tanh z) / 2 = sigmoid(2 z),
        in (0, 1).
Cost    parameters 3*C, MACs 0: norms and products element by element are not counted.
Differs none: eps is 1e-5, and alpha 1, gamma 0, beta 0 at the start, where the output is the input.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.gating import gated
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import widen
from foveate.mechanisms.ranks import any_rank
from foveate.options import one_of, whole

EPS = 1e-5


@mechanisms.register("gct")
@any_rank
class GatedChannelTransformation(Refine):
    """Gate each channel by its norm, divided by the root mean square of all channels' norms.

    Args:
        channels: C of the map that it will receive.
        norm: What a channel's size is: ``"l2"``, as in the paper, or ``"l1"``, the authors' other choice.

    Raises:
        OptionError: An option is out of range.

    Example:
        >>> import torch
        >>> x = torch.rand(2, 64, 7, 5)
        >>> torch.equal(GatedChannelTransformation(64)(x), x)  # as it starts
        True
    """

    facets = Facets(
        over=("channels",), driven_by="input", weighting="soft", sites=("features", "skip", "pool")
    )
    variants = {"norm": "l1"}
    gate = "gamma"

    def __init__(self, channels: int, *, norm: Literal["l2", "l1"] = "l2") -> None:
        super().__init__()
        one_of("norm", norm, ("l2", "l1"))
        self.channels, self.norm = whole("channels", channels), norm
        self.alpha = nn.Parameter(torch.ones(channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(channels, 1, 1))
        self.map = MapTap("b c 1 1")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` with every channel multiplied by its gate, which lies between 0 and 2."""
        self._check(x)
        logits = self.gamma * self._normalised(widen(x)) + self.beta
        return gated(x, (2 * self.map((2 * logits).sigmoid())).to(x.dtype))

    def _normalised(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c 1 1"]:
        """Return the embedding of every channel, divided by the size of all of them."""
        if self.norm == "l1":
            sizes = self.alpha * torch.linalg.vector_norm(x, ord=1, dim=(2, 3), keepdim=True)
            return sizes / (sizes.abs().mean(dim=1, keepdim=True) + EPS)
        squares = torch.linalg.vector_norm(x, dim=(2, 3), keepdim=True).square()
        sizes = self.alpha * (squares + EPS).sqrt()
        return sizes / (sizes.square().mean(dim=1, keepdim=True) + EPS).sqrt()

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        return Cost(parameters=3 * self.channels, macs=0, bytes=12 * self.channels)
