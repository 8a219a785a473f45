"""Split attention: one grouped convolution makes R splits, weighed against each other channel by channel.

Formula U = relu(BN(conv3x3(x))), cut into U_1..U_R; z = relu(BN(W1 mean_hw(sum_i U_i) + b1));
        a = softmax_i(W2 z + b2), for R = 1 sigmoid; y = sum_i a_i * U_i
Paper   Zhang et al. ResNeSt: Split-Attention Networks. CVPR workshops 2022. arXiv:2004.08955, section 3.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, R, C, 1, 1), sums to 1 over the R splits (R = 1: gates).
Cost    with K = cardinality, G = gcd(R*K, C), D = hidden or max(C*R // 4, 32) rounded up to a multiple of K:
        parameters 9*C*C*R/G + 2*C*R + C*D/K + 3*D + D*C*R/K + C*R,
        MACs 9*C*C*R/G*H*W + C*D/K + D*C*R/K; 8*C*R + 8*D + 16 bytes of running statistics.
Differs none, where R*K divides C, as the authors require; elsewhere the 3x3 convolution has G groups.
"""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.batch_norm import BatchNorm
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.gating import mixture
from foveate.mechanisms.kernels.reductions import mean
from foveate.mechanisms.map_tap import MapTap
from foveate.options import reduced, whole


@mechanisms.register("split_attention")
class SplitAttention(Refine):
    """Convolve into splits and sum them under weights that each channel gives to each split.

    Args:
        channels: C of the map that it will receive.
        radix: How many splits. Paper: 2.
        cardinality: How many groups of channels decide apart from each other; divides C. Paper: 1.
        hidden: Channels of the squeezed vector, a multiple of cardinality; None for the authors'
            max(C * radix // 4, 32).

    Raises:
        OptionError: ``cardinality`` does not divide the channels or ``hidden``.

    Example:
        >>> import torch
        >>> SplitAttention(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(over=("branches", "channels"), driven_by="input", weighting="soft", sites=("features",))
    variants = {"radix": 4, "cardinality": 2, "hidden": 8}

    def __init__(
        self, channels: int, *, radix: int = 2, cardinality: int = 1, hidden: int | None = None
    ) -> None:
        super().__init__()
        self.channels, self.radix = channels, whole("radix", radix)
        self.cardinality = whole("cardinality", cardinality)
        default = -(-reduced(channels * radix, 4, least=32) // cardinality) * cardinality
        self.hidden = default if hidden is None else whole("hidden", hidden)
        for name, number in (("channels", channels), ("hidden", self.hidden)):
            if number % cardinality:
                raise OptionError(f"cardinality: got {cardinality}, expected a divisor of {name}={number}")
        groups, splits = math.gcd(radix * cardinality, channels), radix * channels
        self.convolution = nn.Conv2d(channels, splits, kernel_size=3, padding=1, groups=groups, bias=False)
        self.norm = BatchNorm(splits)
        self.squeeze = nn.Conv2d(channels, self.hidden, kernel_size=1, groups=cardinality)
        self.squeeze_norm = BatchNorm(self.hidden)
        self.select = nn.Conv2d(self.hidden, splits, kernel_size=1, groups=cardinality)
        self.map = MapTap("b s c 1 1", sums="s" if radix > 1 else "")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return the weighted sum of the splits."""
        self._check(x)
        splits = self.norm(self.convolution(x)).relu().chunk(self.radix, dim=1)
        means = sum((mean(split, 2, 3) for split in splits[1:]), mean(splits[0], 2, 3))
        return mixture(splits, self.map(self._weigh(means)))

    def _weigh(self, means: Tensor) -> Tensor:
        logits: Tensor = self.select(self.squeeze_norm(self.squeeze(means)).relu())
        if self.radix == 1:
            return logits.sigmoid().unsqueeze(1)
        # A group of the last layer holds all splits of its channels: the split is the second axis of three.
        grouped = logits.unflatten(1, (self.cardinality, self.radix, self.channels // self.cardinality))
        return grouped.softmax(dim=2).transpose(1, 2).flatten(2, 3)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        splits, hidden = self.channels * self.radix, self.hidden
        convolution = 9 * self.channels * splits // math.gcd(self.radix * self.cardinality, self.channels)
        dense = (self.channels + splits) * hidden // self.cardinality
        parameters = convolution + dense + 3 * splits + 3 * hidden
        macs = convolution * height * width + dense
        return Cost(parameters, macs, bytes=4 * parameters + 8 * (splits + hidden) + 16)
