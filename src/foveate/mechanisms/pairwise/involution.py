"""Involution: each position makes the kernel that weighs its own neighbourhood.

Formula y_gn = sum_p w_gpn x_g(n+p) over a K x K window, with w = W_2 relu(BN(W_1 x)) and g = groups of
        channels that share a kernel
Paper   Li, Hu, Wang, Li, She, Zhu, Zhang, Chen. Involution: Inverting the Inherence of Convolution for Visual
        Recognition. CVPR 2021. arXiv:2103.06255, section 3.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, G, K*K, H, W): the kernels, which nothing normalises.
Cost    with R = max(1, C // reduction), G = max(1, C // group): parameters C*R + 2*R + (R + 1)*G*K*K,
        MACs N*(C*R + R*G*K*K + C*K*K), N = H*W; buffers of the normalisation 2*R numbers and a counter of 8
        bytes. Memory grows with N*K*C, in training with N*K*K*C.
Differs none.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.batch_norm import BatchNorm
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.memory_layout import like_input
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import full_precision, roomy
from foveate.options import odd, reduced, whole


@mechanisms.register("involution")
class Involution(Refine):
    """Replace each position by a sum over its neighbourhood, with weights that it computes itself.

    Args:
        channels: C of the map that it will receive.
        kernel: K, the height and width in positions of the neighbourhood; odd. Paper: 7.
        group: Channels that share a kernel; the greatest divisor of ``channels`` up to this. Paper: 16.
        reduction: How many times narrower the hidden layer is. Paper: 4.

    Raises:
        OptionError: ``kernel`` is not odd, or a number is not positive and whole.

    Example:
        >>> import torch
        >>> Involution(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("positions",), driven_by="input", weighting="soft", sites=("features", "skip", "bottleneck")
    )
    variants = {"kernel": 3, "group": 4, "reduction": 2}

    def __init__(self, channels: int, *, kernel: int = 7, group: int = 16, reduction: int = 4) -> None:
        super().__init__()
        self.channels, self.kernel, self.hidden = (
            channels,
            odd("kernel", kernel),
            reduced(channels, reduction),
        )
        whole("group", group)
        self.groups = channels // max(d for d in range(1, group + 1) if channels % d == 0)
        self.reduce = nn.Conv2d(channels, self.hidden, kernel_size=1, bias=False)
        self.norm = BatchNorm(self.hidden)
        self.span = nn.Conv2d(self.hidden, self.groups * kernel**2, kernel_size=1)
        self.map = MapTap("b k p h w", low=-torch.inf, high=torch.inf)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return every position's weighted neighbourhood."""
        self._check(x)
        kernels = self.span(self.norm(self.reduce(x)).relu())
        kernels = self.map(kernels.unflatten(1, (self.groups, self.kernel**2)))  # (B, G, K*K, H, W)
        rows = kernels.unflatten(2, (self.kernel, self.kernel)).unbind(2)
        padded = F.pad(x, (self.kernel // 2,) * 4).unflatten(1, (self.groups, -1))
        parts = (self._row(padded.narrow(3, i, x.shape[2]), row) for i, row in enumerate(rows))
        return like_input(sum(parts, roomy(x.new_zeros(()))).flatten(1, 2), x)

    def _row(self, padded: Tensor, kernels: Tensor) -> Tensor:
        """Sum over a row of the window: (B, G, c, H, W+K-1) and (B, G, K, H, W) to (B, G, c, H, W)."""
        near = torch.stack([padded.narrow(4, j, kernels.shape[4]) for j in range(self.kernel)], dim=2)
        near = roomy(near)  # the sum of a row may exceed what the sum of all does not
        with full_precision(padded):
            return torch.einsum("bgkchw,bgkhw->bgchw", near, kernels.to(near.dtype))

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        made = self.groups * self.kernel**2
        parameters = self.channels * self.hidden + 2 * self.hidden + (self.hidden + 1) * made
        macs = self.channels * self.hidden + self.hidden * made + self.channels * self.kernel**2
        return Cost(
            parameters=parameters, macs=height * width * macs, bytes=4 * parameters + 8 * self.hidden + 8
        )
