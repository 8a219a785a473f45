"""Lambda layer: the context becomes a small linear function, and each position applies it to its query.

Formula y_n = (L + P_n)^T q_n in each head, L = sum_m softmax_m(k_m) v_m^T, P_n = sum over an R x R window of
        e_(m-n) v_m^T, with q = BN(W_q x), k = W_k x, v = BN(W_v x) and e = learned vectors for each distance
Paper   Bello. LambdaNetworks: Modeling Long-Range Interactions Without Attention. ICLR 2021.
        arXiv:2102.08602, section 3.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, U*K, N), N = H*W: the keys, each sums to 1 over the positions.
Cost    with V = C // heads, K = width, U = depth, h = heads: parameters C*(h*K + U*K + U*V) + U*K*R*R + K
        + 2*h*K + 2*U*V; MACs N*(C*(h*K + U*K + U*V) + U*K*V + h*K*V + U*K*V*R*R + h*K*V); buffers of the
        normalisations 2*h*K + 2*U*V numbers and two counters of 8 bytes. Memory grows with N*K*V.
Differs the window of timm, 9; the paper's ImageNet models have 23. The convolution has a bias, as in timm.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.batch_norm import BatchNorm
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.memory_layout import like_input
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import full_precision, precise, roomy, widen
from foveate.options import heads_of, odd, whole


@mechanisms.register("lambda_layer")
class LambdaLayer(Refine):
    """Sum the map up as linear functions, one for its content and one for each neighbourhood, and apply them.

    Args:
        channels: C of the map that it will receive.
        heads: Queries to one function; must divide ``channels``. None takes the most that do, up to 4.
        width: K, the numbers in a key and in a query. Paper: 16.
        depth: U, the keys and values that a position has. Paper: 1, or 4 in smaller nets.
        window: R, the height and width in positions of the neighbourhood; odd. Paper: 23.

    Raises:
        OptionError: ``heads`` does not divide ``channels``, or a number is out of its range.

    Example:
        >>> import torch
        >>> LambdaLayer(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("positions",), driven_by="input", weighting="soft", sites=("features", "skip", "bottleneck")
    )
    variants = {"heads": 2, "width": 8, "depth": 2, "window": 5}

    def __init__(
        self, channels: int, *, heads: int | None = None, width: int = 16, depth: int = 1, window: int = 9
    ) -> None:
        super().__init__()
        self.channels, self.heads = channels, heads_of(channels, heads, most=4)
        self.width, self.depth, self.window = (
            whole("width", width),
            whole("depth", depth),
            odd("window", window),
        )
        self.values = channels // self.heads
        self.split = self.heads * width, depth * width, depth * self.values  # queries, keys, values
        self.project = nn.Conv2d(channels, sum(self.split), kernel_size=1, bias=False)
        self.norm_query, self.norm_value = BatchNorm(self.split[0]), BatchNorm(self.split[2])
        self.near = nn.Conv2d(
            depth, width, window, padding=window // 2
        )  # the same for each number of a value
        nn.init.trunc_normal_(self.project.weight, std=channels**-0.5)
        self.map = MapTap("b k n", sums="n")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return what every position's query gets from both functions."""
        self._check(x)
        query, key, value = self.project(x).split(self.split, dim=1)
        query = self.norm_query(query).flatten(2).unflatten(1, (self.heads, self.width))  # (B, h, K, N)
        value = self.norm_value(value).unflatten(1, (self.depth, self.values))  # (B, U, V, H, W)
        near = precise(self.near, roomy(value).transpose(1, 2).flatten(0, 1))
        near = near.flatten(2).unflatten(0, (-1, self.values))  # (B*V, K, H, W) to (B, V, K, N)
        with full_precision(x):
            weights = self.map(widen(key).flatten(2).softmax(dim=2))  # (B, U*K, N)
            keys = weights.unflatten(1, (self.depth, self.width)).transpose(1, 2).flatten(2)  # (B, K, U*N)
            far = keys @ widen(value).flatten(3).transpose(2, 3).flatten(1, 2)  # (B, K, V)
            read = torch.einsum("bhkn,bkv->bhvn", widen(query), far)
            read = read + torch.einsum("bhkn,bvkn->bhvn", widen(query), widen(near))
        return like_input(read.flatten(1, 2).unflatten(2, x.shape[2:]), x)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        queries, keys, values = self.split
        weights, near = self.channels * sum(self.split), keys * self.window**2
        parameters = weights + near + self.width + 2 * (queries + values)
        macs = height * width * (weights + self.values * (keys + near + 2 * queries))
        return Cost(parameters=parameters, macs=macs, bytes=4 * parameters + 8 * (queries + values) + 16)
