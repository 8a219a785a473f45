"""Self-attention of SAGAN, as it was published and as it was released.

Formula y = x + gamma * o(softmax_j(theta_i . phi_j) g_j), phi and g max-pooled 2x2, no 1/sqrt(d)
Paper   Zhang, Goodfellow, Metaxas, Odena. Self-Attention Generative Adversarial Networks. ICML 2019.
        arXiv:1805.08318, section 3, describes what the mechanism ``position`` computes: no pooling, no o,
        biases. Their code, and BigGAN-PyTorch after it, has the form of this file.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, N, M), N = H*W, M = (H//2)*(W//2), rows sum to 1, formed only
        while recording.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.mechanisms.kernels.memory_layout import tokens, untoken
from foveate.mechanisms.kernels.softmax_attention import attend
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.pairwise.position import PositionAttention
from foveate.models.generation.spectral_norm import SpectralConv2d
from foveate.options import one_of

KINDS = ("released", "paper", "none")


class ReleasedAttention(nn.Module):
    """Add to each position what it reads at a quarter as many places.

    Args:
        channels: C.
        rule: Of spectral normalisation.
    """

    def __init__(self, channels: int, *, rule: str) -> None:
        super().__init__()
        narrow, half = max(1, channels // 8), max(1, channels // 2)
        self.theta = SpectralConv2d(channels, narrow, 1, rule=rule, bias=False)
        self.phi = SpectralConv2d(channels, narrow, 1, rule=rule, bias=False)
        self.g = SpectralConv2d(channels, half, 1, rule=rule, bias=False)
        self.o = SpectralConv2d(half, channels, 1, rule=rule, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))
        self.map = MapTap("b n m", sums="m")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` plus gamma times what every position read."""
        key, value = (F.max_pool2d(layer(x), 2) for layer in (self.phi, self.g))
        context = attend(tokens(self.theta(x)), tokens(key), tokens(value), self.map)
        return x + (self.gamma * self.o(untoken(context, like=x))).to(x.dtype)


def self_attention(kind: str, channels: int, rule: str) -> nn.Module:
    """Return a block of attention.

    Args:
        kind: "released" or "paper".
        channels: Of the map.
        rule: Of spectral normalisation, for "released"; the paper's block has none.

    Raises:
        OptionError: There is no such kind.
    """
    one_of("attention", kind, KINDS)
    if kind == "paper":
        return PositionAttention(channels)
    return ReleasedAttention(channels, rule=rule)
