"""Contextual attention of CoTNet: keys that know their neighbours predict the weights of these.

Formula y = a_1 K + a_2 D, K = relu(BN(conv_3x3 x)), D_i = silu(BN(sum over places p around i of w_i,p
        v_i+p)), w = GN(W_2 relu(BN(W_1 [x; K]))), v = BN(W_v x), [a_1; a_2] = softmax of U_2 relu(BN(U_1
        mean(K + D)))
Paper   Li, Yao, Pan, Mei. Contextual Transformer Networks for Visual Recognition. TPAMI 2022.
        arXiv:2107.12292, section 3.2.
Shapes  x (B, C, H, W) -> (B, C, H, W); maps: map (B, G, P, H, W), weights of the P = k*k places for each of
        G = C/8 sets of channels, normalised but unbounded; branches (B, C, 2, 1, 1), a_2 then a_1, sum to
        1.
Cost    with R = max(1, 2*C // reduction), g = gcd(4, C), S = max(32, C // 2): parameters C*C*P/g + 2*C*R +
        R*G*P + C*C + 3*G*P + 6*C + 2*R, + 3*C*S + 3*S + 2*C with fuse="attention"; MACs N*(C*C*P/g + 2*C*R
        + R*G*P + C*C) + 3*C*S, N = H*W; 8 bytes a normalised channel and 8 a layer of running statistics.
        Memory grows with N.
Differs none from the authors' code: weights without a softmax, channel c uses set c mod G. fuse="sum"
        adds K and D, as common re-implementations do.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.batch_norm import BatchNorm
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.memory_layout import like_input
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import precise, roomy, widen
from foveate.options import odd, one_of, reduced, whole


@mechanisms.register("cot")
class ContextualAttention(Refine):
    """Replace a map by its static context, a convolution, and its dynamic one, mixed by predicted weights.

    Args:
        channels: C of the map that it will receive.
        kernel_size: Width and height of what a position sees, in positions; odd, at least 3. Paper: 3.
        reduction: How many times narrower than [x; K] the hidden layer of the weights is. Paper: 4.
        share: How many channels use the same weights; for C that it does not divide, their greatest common
            divisor. Authors' code: 8.
        fuse: "attention" weighs the two contexts for each channel; "sum" adds them.

    Raises:
        OptionError: ``kernel_size`` is even or 1, or ``fuse`` is unknown.

    Example:
        >>> import torch
        >>> ContextualAttention(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("positions", "branches"), driven_by="input", weighting="soft", sites=("features", "bottleneck")
    )
    variants = {"kernel_size": 5, "reduction": 2, "share": 4, "fuse": "sum"}

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 3,
        reduction: int = 4,
        share: int = 8,
        fuse: str = "attention",
    ) -> None:
        super().__init__()
        one_of("fuse", fuse, ("attention", "sum"))
        self.channels, self.fuse = whole("channels", channels), fuse
        self.kernel_size = odd("kernel_size", whole("kernel_size", kernel_size, least=3))
        self.hidden = reduced(2 * channels, reduction)
        self.sets = channels // math.gcd(whole("share", share), channels)
        self.key = nn.Sequential(
            nn.Conv2d(
                *(channels, channels, kernel_size),
                padding=kernel_size // 2,
                groups=math.gcd(4, channels),
                bias=False,
            ),
            BatchNorm(channels),
            nn.ReLU(),
        )
        self.value = nn.Sequential(
            nn.Conv2d(channels, channels, kernel_size=1, bias=False), BatchNorm(channels)
        )
        self.predict = nn.Sequential(
            nn.Conv2d(2 * channels, self.hidden, kernel_size=1, bias=False),
            BatchNorm(self.hidden),
            nn.ReLU(),
            nn.Conv2d(self.hidden, self.sets * kernel_size**2, kernel_size=1),
            nn.GroupNorm(self.sets, self.sets * kernel_size**2),
        )
        self.norm = BatchNorm(channels)
        self.map = MapTap("b k p h w", low=-torch.inf, high=torch.inf)
        if fuse == "attention":
            self.choose = _Choice(channels)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return the two contexts of every position, fused."""
        self._check(x)
        static = self.key(x)
        weights = self.predict(torch.cat([x.to(static.dtype), static], dim=1))
        weights = self.map(weights.unflatten(1, (self.sets, -1)))
        dynamic = F.silu(self.norm(self._mix(roomy(self.value(x)), weights)))
        if self.fuse == "sum":
            return like_input(static + dynamic, x)
        chosen = self.choose(static + dynamic)  # (B, C, 2, 1, 1)
        return like_input(chosen[:, :, 1] * static + chosen[:, :, 0] * dynamic, x)

    def _mix(self, value: Tensor, weights: Tensor) -> Tensor:
        """Return for each position the weighted sum of the values around it; zeros beyond the border."""
        height, width, reach = value.shape[2], value.shape[3], self.kernel_size // 2
        padded = F.pad(value, (reach,) * 4).unflatten(1, (-1, self.sets))  # channel c uses set c mod G
        total = torch.zeros_like(value).unflatten(1, (-1, self.sets))
        for place in range(self.kernel_size**2):
            i, j = divmod(place, self.kernel_size)
            total = total + weights[:, None, :, place] * padded[..., i : i + height, j : j + width]
        return total.flatten(1, 2)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        channels, places = self.channels, self.kernel_size**2
        weights = channels**2 * places // math.gcd(4, channels) + channels**2
        weights += self.hidden * (2 * channels + self.sets * places)
        parameters = weights + 3 * self.sets * places + 6 * channels + 2 * self.hidden
        macs, buffers = height * width * weights, 8 * (3 * channels + self.hidden) + 4 * 8
        if self.fuse == "attention":
            hidden = self.choose.hidden
            parameters += 3 * channels * hidden + 3 * hidden + 2 * channels
            macs, buffers = macs + 3 * channels * hidden, buffers + 8 * hidden + 8
        return Cost(parameters=parameters, macs=macs, bytes=4 * parameters + buffers)


class _Choice(nn.Module):
    """Weigh two branches against each other, for each channel, by the channel means of their sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.hidden = max(32, channels // 2)
        self.squeeze = nn.Conv2d(channels, self.hidden, kernel_size=1)
        self.norm = BatchNorm(self.hidden)
        self.score = nn.Conv2d(self.hidden, 2 * channels, kernel_size=1)
        self.branches = MapTap("b c s 1 1", sums="s")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c 2 1 1"]:
        means = x.mean(dim=(2, 3), keepdim=True)
        scores = precise(self.score, self.norm(precise(self.squeeze, means)).relu())
        chosen: Tensor = self.branches(widen(scores.unflatten(1, (-1, 2))).softmax(dim=2))
        return chosen.to(x.dtype)
