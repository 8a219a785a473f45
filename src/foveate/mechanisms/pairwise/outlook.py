"""Outlook attention of VOLO: every window is mixed by weights that its centre predicts.

Formula y = x + W_o fold(A_i V_i), V_i = the k*k values W_v n around centre i, A_i = softmax over the last
        axis of the k*k x k*k numbers (W_a n_i + b_a) / sqrt(d), n = LN(x); fold sums windows where they
        overlap
Paper   Yuan, Hou, Jiang, Feng, Yan. VOLO: Vision Outlooker for Visual Recognition. TPAMI 2022.
        arXiv:2106.13112, section 3.1.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, K, N, P, P), K heads, N windows, P = k*k; in each window how
        much every place (last but one axis) takes of every place (last axis); rows sum to 1.
Cost    with S = N = H*W, or ceil(H/s)*ceil(W/s) with stride s: parameters 2*C*C + C + K*P*P*(C + 1), + C
        with bias, + 2*C with norm; MACs 2*N*C*C + S*(C*K*P*P + C*P*P). Memory grows with N.
Differs stride 1 as in the paper's formulas; the authors' models take 2 (stride=2), with the means of 2x2
        positions as centres. No dropout.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.memory_layout import like_input, tokens, untoken
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import precise, roomy, widen
from foveate.options import heads_of, odd, whole


@mechanisms.register("outlook")
class OutlookAttention(Refine):
    """Let each position predict how the positions around it mix.

    Args:
        channels: C of the map that it will receive.
        heads: Number of heads; must divide ``channels``. None takes the most that do, up to 8.
        kernel_size: Width and height of a window, in positions; odd. Paper: 3.
        stride: Distance of two centres, in positions. Paper's formulas: 1.
        norm: Whether a layer normalisation comes first.
        bias: Whether the values have a bias. Paper: no.
        residual: Whether ``x`` is added to the result.

    Raises:
        OptionError: ``heads`` does not divide ``channels``, or ``kernel_size`` is even.

    Example:
        >>> import torch
        >>> OutlookAttention(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("positions", "heads"),
        driven_by="input",
        weighting="soft",
        sites=("features", "skip", "bottleneck"),
    )
    variants = {
        "heads": 2,
        "kernel_size": 5,
        "stride": 2,
        "norm": False,
        "bias": True,
        "residual": False,
    }

    def __init__(
        self,
        channels: int,
        *,
        heads: int | None = None,
        kernel_size: int = 3,
        stride: int = 1,
        norm: bool = True,
        bias: bool = False,
        residual: bool = True,
    ) -> None:
        super().__init__()
        self.channels, self.heads, self.residual = channels, heads_of(channels, heads), residual
        self.kernel_size, self.stride = odd("kernel_size", kernel_size), whole("stride", stride)
        self.places, self.normed = kernel_size**2, norm
        self.norm = nn.LayerNorm(channels) if norm else nn.Identity()
        self.value = nn.Linear(channels, channels, bias=bias)
        self.predict = nn.Linear(channels, self.heads * self.places**2)
        self.merge = nn.Linear(channels, channels)
        self.map = MapTap("b k n p m" if stride == 1 else "b k p p m", sums="m")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` plus the mixed windows."""
        self._check(x)
        normed = tokens(x)
        normed = self.norm(normed) if self.normed else roomy(normed)
        window = {"kernel_size": self.kernel_size, "padding": self.kernel_size // 2, "stride": self.stride}
        values = F.unfold(untoken(precise(self.value, normed), like=x), **window)  # (B, C*P, S)
        values = values.unflatten(1, (self.heads, -1, self.places)).permute(0, 1, 4, 3, 2)  # (B, K, S, P, d)
        mixed = self.map(self._weights(normed, x)).to(values.dtype) @ values
        folded = F.fold(mixed.permute(0, 1, 4, 3, 2).flatten(1, 3), tuple(x.shape[2:]), **window)
        read = untoken(precise(self.merge, tokens(folded)), like=x)
        return (x + read).to(x.dtype) if self.residual else like_input(read, x)

    def _weights(self, normed: Tensor, x: Tensor) -> Float[Tensor, "b k s p m"]:
        if self.stride > 1:
            normed = tokens(F.avg_pool2d(untoken(normed, like=x), self.stride, self.stride, ceil_mode=True))
        energies = (
            precise(self.predict, normed).unflatten(2, (self.heads, self.places, self.places)).transpose(1, 2)
        )
        scale = (self.channels // self.heads) ** -0.5
        return widen(energies * scale).softmax(dim=-1)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        parameters = sum(p.numel() for p in self.parameters())
        windows = -(-height // self.stride) * -(-width // self.stride)
        macs = 2 * height * width * self.channels**2
        macs += windows * self.channels * (self.heads + 1) * self.places**2
        return Cost(parameters=parameters, macs=macs, bytes=4 * parameters)
