"""Input gate: one gate per pixel of the input image, computed by a small network of coarser layers.

Formula y = x * 2 * sigmoid(up(W3 * relu(BN(W2 * relu(BN(W1 * x)))))), W1 and W2 3x3 of stride 2, W3 3x3
Paper   none; attention at the input layer, as in the survey's diagrams, has no paper of its own.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, 1, H, W), in (0, 1): 0.5 leaves a pixel alone, 1 doubles it.
Cost    with D = hidden, h, w = ceil(H/2), ceil(W/2) and i, j = ceil(H/4), ceil(W/4):
        parameters 9*D*(C + D + 1) + 4*D, MACs 9*D*(C*h*w + (D + 1)*i*j);
        16*D + 16 bytes of running statistics.
Differs our own design. W3 starts at zero, so that a fresh gate returns its input, to the bit.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from foveate.mechanisms.base import BatchNorm, Cost, Facets, MapTap, mechanisms
from foveate.mechanisms.gated import gated
from foveate.mechanisms.interfaces import Refine
from foveate.mechanisms.options import whole


@mechanisms.register("input_gate")
class InputGate(Refine):
    """Gate each pixel by what a small network sees around it.

    Args:
        channels: C of the map that it will receive; 3 for an image.
        hidden: Channels of the small network.

    Example:
        >>> import torch
        >>> images = torch.rand(2, 3, 33, 48)
        >>> torch.equal(InputGate(3)(images), images)
        True
    """

    facets = Facets(over=("positions",), driven_by="input", weighting="soft", sites=("input", "features"))
    variants = {"hidden": 4}
    gate = "logits.weight"

    def __init__(self, channels: int, *, hidden: int = 8) -> None:
        super().__init__()
        self.channels, self.hidden = channels, whole("hidden", hidden)
        self.see = nn.Sequential(*_halve(channels, hidden), *_halve(hidden, hidden))
        self.logits = nn.Conv2d(hidden, 1, kernel_size=3, padding=1, bias=False)
        nn.init.zeros_(self.logits.weight)
        self.map = MapTap("b 1 h w")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` with every pixel multiplied by twice its gate."""
        self._check(x)
        logits = interpolate(self.logits(self.see(x)), size=x.shape[2:], mode="bilinear", align_corners=False)
        return gated(x, 2 * self.map(logits.sigmoid()))

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        c, d = self.channels, self.hidden
        half, quarter = ((-(-height // step)) * (-(-width // step)) for step in (2, 4))
        parameters = 9 * d * (c + d + 1) + 4 * d
        return Cost(
            parameters, macs=9 * d * (c * half + (d + 1) * quarter), bytes=4 * parameters + 16 * d + 16
        )


def _halve(channels: int, hidden: int) -> tuple[nn.Module, ...]:
    """Return the layers that halve height and width, rounding up."""
    conv = nn.Conv2d(channels, hidden, kernel_size=3, stride=2, padding=1, bias=False)
    return conv, BatchNorm(hidden), nn.ReLU()
