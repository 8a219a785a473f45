"""Double attention: a few features gathered from the whole map, distributed to every position as it asks.

Formula y = x + W_o Z, Z = G softmax_k(V), G = A softmax_n(B)^T, with A (M, N), B and V (K, N) = 1x1
        convolutions of x: softmax over positions gathers K features, softmax over these distributes them
Paper   Chen, Kalantidis, Li, Yan, Feng. A2-Nets: Double Attention Networks. NeurIPS 2018. arXiv:1810.11579,
        section 3.
Shapes  x (B, C, H, W) -> (B, C, H, W); maps: gather (B, K, N), each row sums to 1 over the N = H*W positions;
        distribute (B, K, N), each column sums to 1 over the K features.
Cost    with M = max(1, C // reduction), K = max(1, C // features): parameters C*(2*M + 2*K) + M + 2*K + C,
        MACs N*C*(2*M + 2*K) + 2*N*M*K. Memory grows with N.
Differs none.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.memory_layout import like_input
from foveate.mechanisms.kernels.pointwise_convolution import project
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import full_precision, widen
from foveate.mechanisms.ranks import any_rank
from foveate.options import reduced, whole


@mechanisms.register("double_attention")
@any_rank
class DoubleAttention(Refine):
    """Gather features of the whole map, and add to each position the mixture of them that it asks for.

    Args:
        channels: C of the map that it will receive.
        reduction: How many times narrower the gathered features are. Paper: 4.
        features: C divided by the number of features gathered. Paper: 4.
        residual: Whether ``x`` is added to what was distributed.

    Attributes:
        gather: The tap of the weights by which positions are gathered into features.
        distribute: The tap of the weights by which features are distributed to positions.

    Raises:
        OptionError: ``reduction`` or ``features`` is not a positive whole number.

    Example:
        >>> import torch
        >>> DoubleAttention(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("positions",),
        driven_by="input",
        weighting="soft",
        sites=("features", "skip", "bottleneck", "output"),
    )
    variants = {"reduction": 2, "features": 2, "residual": False}

    def __init__(
        self, channels: int, *, reduction: int = 4, features: int = 4, residual: bool = True
    ) -> None:
        super().__init__()
        self.channels, self.residual = channels, residual
        self.width, self.features = reduced(channels, reduction), _features(channels, features)
        self.value = nn.Conv2d(channels, self.width, kernel_size=1)  # A
        self.key = nn.Conv2d(channels, self.features, kernel_size=1)  # B
        self.query = nn.Conv2d(channels, self.features, kernel_size=1)  # V
        self.merge = nn.Conv2d(self.width, channels, kernel_size=1)
        self.gather = MapTap("b k n", sums="n")
        self.distribute = MapTap("b k n", sums="k")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` plus what every position received."""
        self._check(x)
        value = self.value(x).flatten(2)  # (B, M, N)
        with full_precision(x):
            gathered = self.gather(self._softmax(self.key, x, dim=2))
            handed_out = self.distribute(self._softmax(self.query, x, dim=1))
            context = widen(value) @ gathered.transpose(1, 2) @ handed_out  # (B, M, K) (B, K, N)
        read = self.merge(context.to(value.dtype).unflatten(2, x.shape[2:]))
        return x + read.to(x.dtype) if self.residual else like_input(read, x)

    @staticmethod
    def _softmax(layer: nn.Conv2d, x: Tensor, dim: int) -> Tensor:
        return widen(project(layer, x)).flatten(2).softmax(dim=dim)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        positions, weights = height * width, 2 * self.channels * (self.width + self.features)
        parameters = weights + self.width + 2 * self.features + self.channels
        macs = positions * weights + 2 * positions * self.width * self.features
        return Cost(parameters=parameters, macs=macs, bytes=4 * parameters)


def _features(channels: int, features: int) -> int:
    whole("features", features)
    return reduced(channels, features)
