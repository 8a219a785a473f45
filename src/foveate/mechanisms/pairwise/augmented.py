"""Attention-augmented convolution: some channels of a convolution's output come from attention instead.

Formula y = [conv(x); W_o a], a_i = sum_j softmax_j(q_i . k_j + q_i . r_u + q_i . s_w) v_j in each head; q, k,
        v = 1x1 convolutions of x, q divided by sqrt(d); r_u, s_w = learned vectors for the distance from i to
        j in rows, in columns, shared by the heads
Paper   Bello, Zoph, Vaswani, Shlens, Le. Attention Augmented Convolutional Networks. ICCV 2019.
        arXiv:1904.09925, section 3.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, K, N, N), K heads, N = H*W, rows sum to 1,
        formed only while recording.
Cost    with A = K*d the width of the keys, V that of the values, R = kernel: weights R*R*C*(C - V)
        + C*(2*A + V) + V*V; parameters these, + 2*(2*size-1)*d with relative, + C + 2*A + V with bias;
        MACs N times the weights, + N*N*(A + V), + N*(H+W)*A with relative. Memory grows with
        K*N*(H+W), in training too.
Differs one set of weights for any size of map: the vectors of distances are stretched from those learned for
        ``size``. The values are a multiple of the heads, the nearest to value_share * C.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.memory_layout import like_input
from foveate.mechanisms.kernels.pointwise_convolution import project
from foveate.mechanisms.kernels.relative_attention import attend_placed, distances
from foveate.mechanisms.kernels.relative_attention import relative as placed
from foveate.mechanisms.map_tap import MapTap
from foveate.options import odd, whole


@mechanisms.register("augmented")
class AugmentedConvolution(Refine):
    """Convolve, and let attention over the whole map make some of the channels.

    Args:
        channels: C of the map that it will receive.
        heads: Number of heads. None takes the paper's 8, or half the channels if these are fewer than 16.
        kernel: Height and width in positions of the convolution; odd. Paper: 3.
        key_share: Width of all keys together, divided by C; positive. Paper: 0.2 in ResNets.
        value_share: Share of the channels that attention computes, in (0, 1]; with 1 there is no convolution.
            Paper: 0.1 in ResNets.
        least_keys: The least width of a head's keys. Paper: 20.
        size: Height and width, in positions, that the tables of distances are for.
        relative: Whether distances count.
        bias: Whether the convolutions have biases.

    Raises:
        OptionError: A number is out of its range, or there are more heads than channels.

    Example:
        >>> import torch
        >>> AugmentedConvolution(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("positions", "heads"),
        driven_by="input",
        weighting="soft",
        sites=("features", "skip", "bottleneck"),
    )
    variants = {
        "heads": 4,
        "kernel": 5,
        "key_share": 20.0,
        "value_share": 1.0,
        "least_keys": 4,
        "size": 7,
        "relative": False,
        "bias": False,
    }

    def __init__(
        self,
        channels: int,
        *,
        heads: int | None = None,
        kernel: int = 3,
        key_share: float = 0.2,
        value_share: float = 0.1,
        least_keys: int = 20,
        size: int = 14,
        relative: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        whole("channels", channels)
        self.channels, self.kernel, self.relative = channels, odd("kernel", kernel), relative
        self.heads = min(8, max(1, channels // 2)) if heads is None else whole("heads", heads)
        if not key_share > 0:
            raise OptionError(f"key_share: got {key_share!r}, expected a positive number")
        self.width = max(whole("least_keys", least_keys), round(key_share * channels / self.heads))
        self.values = _values(channels, self.heads, value_share)
        self.keys, left = self.heads * self.width, channels - self.values
        self.convolve = nn.Conv2d(channels, left, kernel, padding=kernel // 2, bias=bias) if left else None
        self.project = nn.Conv2d(channels, 2 * self.keys + self.values, kernel_size=1, bias=bias)
        self.merge = nn.Conv2d(self.values, self.values, kernel_size=1, bias=bias)
        whole("size", size)
        if relative:
            self.rows = nn.Parameter(torch.randn(2 * size - 1, self.width) * self.width**-0.5)
            self.columns = nn.Parameter(torch.randn(2 * size - 1, self.width) * self.width**-0.5)
        self.map = MapTap("b k n m", sums="m")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return the convolved channels, then those that attention made."""
        self._check(x)
        split = project(self.project, x).split((self.keys, self.keys, self.values), dim=1)
        query, key, value = (part.unflatten(1, (self.heads, -1)).movedim(2, -1) for part in split)
        query = query * self.width**-0.5  # (B, K, H, W, d)
        down, along = self._distances(query)
        query, key, value = (part.flatten(2, 3) for part in (query, key, value))
        context = attend_placed(query, key, value, down, along, self.map)
        read = self.merge(context.transpose(2, 3).flatten(1, 2).unflatten(2, x.shape[2:]).to(x.dtype))
        return like_input(read if self.convolve is None else torch.cat([self.convolve(x), read], dim=1), x)

    def _distances(self, query: Float[Tensor, "b k h w d"]) -> tuple[Tensor, Tensor]:
        """Return what the row and the column of a key add to its energy."""
        height, width = query.shape[2:4]
        if self.relative:
            return placed(query, distances(self.rows, height), distances(self.columns, width))
        nothing = torch.zeros_like(query[..., :1]).flatten(2, 3)
        return nothing.expand(-1, -1, -1, height), nothing.expand(-1, -1, -1, width)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        positions, left = height * width, self.channels - self.values
        weights = self.kernel**2 * self.channels * left + self.channels * (2 * self.keys + self.values)
        macs = weights + self.values**2 + positions * (self.keys + self.values)
        macs += (height + width) * self.keys * self.relative
        parameters = sum(p.numel() for p in self.parameters())
        return Cost(parameters=parameters, macs=positions * macs, bytes=4 * parameters)


def _values(channels: int, heads: int, share: float) -> int:
    """Return the width of the values: the multiple of ``heads`` that is nearest to their share."""
    if not 0 < share <= 1:
        raise OptionError(f"value_share: got {share!r}, expected a number in (0, 1]")
    if heads > channels:
        raise OptionError(
            f"heads: got {heads}, expected at most the {channels} channels: each makes one or more"
        )
    return heads * min(max(1, round(share * channels / heads)), channels // heads)
