"""Global context: a softmax over all positions pools one context, whose function is added to each position.

Formula c = sum_i softmax_i(w . x_i + b) x_i, t = W2 relu(LN(W1 c + b1)) + b2; y = x + t (fuse="add"),
        y = x * sigmoid(t) (fuse="scale")
Paper   Cao, Xu, Lin, Wei, Hu. GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond.
        ICCV Workshops 2019. arXiv:1904.11492, section 3.3 and equation 6.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, 1, H, W), sums to 1 over the positions; with fuse="scale"
        also gates (B, C, 1, 1) in (0, 1).
Cost    with R = max(4, C // reduction): parameters 2*C*R + 2*C + 3*R + 1, MACs 2*C*H*W + 2*C*R.
Differs R is never under 4: a normalised single value is its bias, whatever the context. With fuse="add" W2
        and b2 both start at 0, so that the fresh module returns its input; timm zeroes W2 alone. Its "gca" is
        this with reduction=8 and an eps of 1e-6 for the authors' 1e-5, its "gc" that with fuse="scale".
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Cost, Facets, MapTap, mechanisms
from foveate.mechanisms.interfaces import Refine
from foveate.mechanisms.kernels.attend import project
from foveate.mechanisms.kernels.gated import fusing, gated, plain, weighted
from foveate.mechanisms.kernels.reads import weighted_sum
from foveate.mechanisms.precision import widen
from foveate.mechanisms.ranks import any_rank
from foveate.options import one_of, reduced


@mechanisms.register("gc")
@any_rank
class GlobalContext(Refine):
    """Add to every position, or gate every channel by, a function of one context for the whole map.

    Args:
        channels: C of the map that it will receive.
        reduction: How many times narrower the hidden layer is, though never under 4 channels. Paper: 16.
        fuse: ``"add"`` for the sum with the input, as in the paper, or ``"scale"`` for gates.

    Raises:
        OptionError: An option is out of range.

    Example:
        >>> import torch
        >>> GlobalContext(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("positions",),
        driven_by="input",
        weighting="soft",
        sites=("features", "skip", "bottleneck", "pool"),
    )
    variants = {"reduction": 2, "fuse": "scale"}
    gate: ClassVar[str | None] = "excite.weight"

    def __init__(self, channels: int, *, reduction: int = 16, fuse: Literal["add", "scale"] = "add") -> None:
        super().__init__()
        one_of("fuse", fuse, ("add", "scale"))
        self.channels, self.hidden = channels, reduced(channels, reduction, least=4)
        self.score = nn.Conv2d(channels, 1, kernel_size=1)
        self.squeeze = nn.Linear(channels, self.hidden)
        self.norm = nn.LayerNorm(self.hidden)
        self.excite = nn.Linear(self.hidden, channels)
        self.map = MapTap("b 1 h w", sums="h w")
        self.gates = MapTap("b c 1 1") if fuse == "scale" else None
        if fuse == "add":
            nn.init.zeros_(self.excite.weight)
            nn.init.zeros_(self.excite.bias)
        else:
            self.gate = None  # type: ignore[misc]  # gates of a half are no identity

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` plus, or gated by, what the context was turned into."""
        self._check(x)
        x, context = self.context(x)
        hidden = self.norm(self.squeeze(context)).relu()
        change = self.excite(hidden)[:, :, None, None]
        if self.gates is None:
            return x + change.to(x.dtype)
        return gated(x, self.gates(change.sigmoid()))

    def context(self, x: Float[Tensor, "b c h w"]) -> tuple[Tensor, Float[Tensor, "b c"]]:
        """Return ``x`` to go on with and the mean of all positions, by the softmax of their scores."""
        fast = (fusing() or not plain(x)) and widen(x) is x and x.dtype == self.score.weight.dtype
        fast = fast and not torch.is_autocast_enabled(x.device.type)
        if fast:
            x, sums = weighted_sum(x, self.score.weight, "channels")
            scores = sums + self.score.bias  # type: ignore[operator]
        else:
            scores = widen(project(self.score, x))
        weights = self.map(scores.flatten(2).softmax(dim=2).unflatten(2, x.shape[2:])).to(x.dtype)
        if fast:
            x, context = weighted_sum(x, weights, "positions", shared=self.gates is None)
        else:
            context = weighted(x, weights, "positions")
        return x, context.flatten(1)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        channels, hidden = self.channels, self.hidden
        parameters = 2 * channels * hidden + 2 * channels + 3 * hidden + 1
        macs = 2 * channels * (height * width + hidden)
        return Cost(parameters, macs, bytes=4 * parameters)
