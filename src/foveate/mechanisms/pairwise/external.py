"""External attention: positions look at a small learned memory in place of each other.

Formula y = A_hat V, A = softmax over positions of x K^T, A_hat = A / (1e-9 + sum over slots of A),
        with K and V = learned memories of S slots
Paper   Guo, Liu, Mu, Hu. Beyond Self-Attention: External Attention Using Two Linear Layers for Visual Tasks.
        TPAMI 2022. arXiv:2105.02358, section 3.2.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, S, N), N = H*W: A, where each slot's weights sum to 1.
Cost    parameters 2*S*C, MACs 2*N*S*C; block=True: parameters + 2*C*C + 3*C, MACs + 2*N*C*C, and the
        normalisation's buffers, 2*C numbers and a counter of 8 bytes. Memory grows with N.
Differs none in the formula. block=True is the authors' code: y = relu(x + BN(W2 E(W1 x + b1))) around it.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.batch_norm import BatchNorm
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.memory_layout import like_input
from foveate.mechanisms.kernels.pointwise_convolution import pointwise, project
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import full_precision, widen
from foveate.mechanisms.ranks import any_rank
from foveate.options import whole

LEAST = 1e-9  # of the authors' code: what a slot sum of 0 is divided by


@mechanisms.register("external")
@any_rank
class ExternalAttention(Refine):
    """Replace each position by a mixture of learned vectors, weighed by two normalisations.

    Args:
        channels: C of the map that it will receive.
        slots: S, the number of vectors in the memory. Paper: 64.
        block: Whether the authors' convolutions, normalisation, residual and ReLU surround it.

    Raises:
        OptionError: ``slots`` is not a positive whole number.

    Example:
        >>> import torch
        >>> ExternalAttention(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("positions",),
        driven_by="input",
        weighting="soft",
        sites=("features", "skip", "bottleneck", "output"),
    )
    variants = {"slots": 8, "block": True}

    def __init__(self, channels: int, *, slots: int = 64, block: bool = False) -> None:
        super().__init__()
        self.channels, self.slots, self.block = channels, whole("slots", slots), block
        self.enter = nn.Conv2d(channels, channels, kernel_size=1) if block else nn.Identity()
        self.key = nn.Conv2d(channels, slots, kernel_size=1, bias=False)
        self.value = nn.Conv2d(slots, channels, kernel_size=1, bias=False)
        self.leave = (
            nn.Sequential(nn.Conv2d(channels, channels, kernel_size=1, bias=False), BatchNorm(channels))
            if block
            else nn.Identity()
        )
        self.map = MapTap("b k n", sums="n")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return what every position read in the memory."""
        self._check(x)
        read = self.leave(pointwise(self.value, self._shares(self.enter(x)).to(x.dtype)))
        return torch.relu(x + read.to(x.dtype)) if self.block else like_input(read, x)

    def _shares(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b s h w"]:
        """Return how much of each slot every position reads."""
        with full_precision(x):
            energies = widen(project(self.key, x)).flatten(2)
            last = energies.stride(1) == 1  # transposed, the softmax leaves channels_last as it lies
            weights = energies.mT.softmax(dim=1).mT if last else energies.softmax(dim=2)
            del energies
            weights = self.map(weights)
            return (weights / (LEAST + weights.sum(dim=1, keepdim=True))).unflatten(2, x.shape[2:])

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        weights = 2 * self.slots * self.channels + 2 * self.channels**2 * self.block
        parameters = weights + 3 * self.channels * self.block
        buffers = (8 * self.channels + 8) * self.block
        return Cost(parameters=parameters, macs=height * width * weights, bytes=4 * parameters + buffers)
