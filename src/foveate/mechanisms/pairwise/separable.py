"""Separable self-attention of MobileViT-v2: one query weighs all positions, and their sum gates every value.

Formula y = x + W_o [relu(v_i) * sum_j softmax_j(w_q . n_j + b_q) k_j], k, v = linear layers of n = GN(x)
Paper   Mehta, Rastegari. Separable Self-attention for Mobile Vision Transformers. TMLR 2023.
        arXiv:2206.02680, section 3.1.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, 1, H, W), sums to 1 over all positions.
Cost    parameters 3*C*C + C, + 3*C + 1 with bias, + 2*C with norm; MACs N*(3*C*C + 2*C), N = H*W.
        Memory and time grow with N.
Differs the softmax runs over all positions; MobileViT-v2 first cuts the map into 2x2 patches and has one
        softmax for each place in a patch. No dropout.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.memory_layout import like_input
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import precise, roomy, widen
from foveate.mechanisms.ranks import any_rank
from foveate.options import whole


@mechanisms.register("separable")
@any_rank
class SeparableSelfAttention(Refine):
    """Multiply the values of every position by one weighted sum of the keys of all positions.

    Args:
        channels: C of the map that it will receive.
        norm: Whether a normalisation over channels and positions (one group) comes first.
        bias: Whether the linear layers have biases.
        residual: Whether ``x`` is added to the result.

    Example:
        >>> import torch
        >>> SeparableSelfAttention(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("positions",), driven_by="input", weighting="soft", sites=("features", "skip", "bottleneck")
    )
    variants = {"norm": False, "bias": False, "residual": False}

    def __init__(self, channels: int, *, norm: bool = True, bias: bool = True, residual: bool = True) -> None:
        super().__init__()
        self.channels, self.residual, self.normed = whole("channels", channels), residual, norm
        self.norm = nn.GroupNorm(1, channels) if norm else nn.Identity()
        self.project = nn.Conv2d(channels, 1 + 2 * channels, kernel_size=1, bias=bias)  # query, keys, values
        self.merge = nn.Conv2d(channels, channels, kernel_size=1, bias=bias)
        self.map = MapTap("b 1 h w", sums="h w")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` plus its values, gated by what the query read."""
        self._check(x)
        query, key, value = self.project(self.norm(x)).split([1, self.channels, self.channels], dim=1)
        weights = widen(query).flatten(2).softmax(dim=-1).unflatten(2, x.shape[2:])
        weights = self.map(weights).to(key.dtype).flatten(2)  # (B, 1, N)
        context = (key.flatten(2) @ weights.transpose(1, 2)).unsqueeze(3)  # (B, C, 1, 1)
        value = value if self.normed else roomy(value)
        read = precise(self.merge, value.relu() * context)
        return (x + read).to(x.dtype) if self.residual else like_input(read, x)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        parameters = sum(p.numel() for p in self.parameters())
        macs = height * width * (3 * self.channels**2 + 2 * self.channels)
        return Cost(parameters=parameters, macs=macs, bytes=4 * parameters)
