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

from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.gating import gated
from foveate.mechanisms.kernels.position_scores import softmax_pooled
from foveate.mechanisms.map_tap import MapTap
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
            self.gate = None  # type: ignore[misc]  # gates of one half are not an identity

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` plus, or gated by, what the context was turned into."""
        self._check(x)
        x, context = softmax_pooled(self.score, x, self.map, shared=self.gates is None)
        hidden = self.norm(self.squeeze(context)).relu()
        change = self.excite(hidden)[:, :, None, None]
        if self.gates is None:
            return x + change.to(x.dtype)
        return gated(x, self.gates(change.sigmoid()))

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        channels, hidden = self.channels, self.hidden
        parameters = 2 * channels * hidden + 2 * channels + 3 * hidden + 1
        macs = 2 * channels * (height * width + hidden)
        return Cost(parameters, macs, bytes=4 * parameters)
