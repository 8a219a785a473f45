"""Input gate: one gate per pixel of the input image, computed by a small network.

Formula y = x * 2 * sigmoid(l), kind="conv": l = up(W3 * relu(BN(W2 * relu(BN(W1 * x))))), W1 and W2 3x3 of
        stride 2, W3 3x3; kind="cbam": l = BN(conv_7x7([max_c x; mean_c x])); kind="dual":
        l = up(W3 * D(relu(BN(W1 x')))), W1 1x1, D dual attention, x' = x at no more than 32 x 32
Paper   none; attention at the input layer, as in the survey's diagrams, has no paper of its own. The parts of
        two kinds are those of CBAM (arXiv:1807.06521) and DANet (arXiv:1809.02983): spatial.py and dual.py.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, 1, H, W), in (0, 1): 0.5 leaves a pixel alone, 1 doubles it.
        kind="dual" shows the two maps of dual.py too.
Cost    with D = hidden, h, w = ceil(H/2), ceil(W/2) and i, j = ceil(H/4), ceil(W/4):
        parameters 9*D*(C + D + 1) + 4*D, MACs 9*D*(C*h*w + (D + 1)*i*j);
        16*D + 16 bytes of running statistics. kind="cbam": parameters 100, MACs 98*H*W, 16 bytes.
        kind="dual": with i, j = min(32, H), min(32, W): parameters C*D + 11*D, MACs i*j*(C*D + 9*D), and
        those of dual.py for (D, i, j); 8*D + 8 bytes.
Differs our own design. The last layer (its scale, where it is a normalisation) starts at zero, so that a
        fresh gate returns its input, to the bit.
"""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.batch_norm import BatchNorm
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.gating import gated
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.pairwise.dual import DualAttention
from foveate.options import one_of, whole

TOKENS = 32  # rows and columns at most that dual attention compares, pair by pair


@mechanisms.register("input_gate")
class InputGate(Refine):
    """Gate each pixel by what a small network sees around it.

    Args:
        channels: C of the map that it will receive; 3 for an image.
        hidden: Channels of the small network; kind="cbam" has none.
        kind: What computes the gates: "conv" two coarser layers, "cbam" CBAM's spatial attention, "dual"
            DANet's attention over a small copy.

    Raises:
        OptionError: ``hidden`` is not a positive whole number, or ``kind`` is unknown.

    Example:
        >>> import torch
        >>> images = torch.rand(2, 3, 33, 48)
        >>> torch.equal(InputGate(3)(images), images)
        True
    """

    facets = Facets(over=("positions",), driven_by="input", weighting="soft", sites=("input", "features"))
    variants = {"hidden": 4, "kind": "cbam"}
    gate = "logits.weight"

    def __init__(self, channels: int, *, hidden: int = 8, kind: str = "conv") -> None:
        super().__init__()
        one_of("kind", kind, ("conv", "cbam", "dual"))
        self.channels, self.hidden, self.kind = whole("channels", channels), whole("hidden", hidden), kind
        self.see, self.logits = _layers(channels, hidden, kind)
        for parameter in self.logits.parameters():
            nn.init.zeros_(parameter)
        self.map = MapTap("b 1 h w")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` with every pixel multiplied by twice its gate."""
        self._check(x)
        logits = self.logits(self.see(x))
        if self.kind != "cbam":
            logits = interpolate(logits, size=x.shape[2:], mode="bilinear", align_corners=False)
        return gated(x, 2 * self.map(logits.sigmoid()))

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        c, d = self.channels, self.hidden
        if self.kind == "cbam":
            return Cost(100, macs=98 * height * width, bytes=4 * 100 + 16)
        if self.kind == "dual":
            height, width = min(TOKENS, height), min(TOKENS, width)
            parameters, macs = c * d + 11 * d, height * width * (c * d + 9 * d)
            own = Cost(parameters, macs, bytes=4 * parameters + 8 * d + 8)
            return own + DualAttention(d).cost(height, width)
        half, quarter = ((-(-height // step)) * (-(-width // step)) for step in (2, 4))
        parameters = 9 * d * (c + d + 1) + 4 * d
        return Cost(
            parameters, macs=9 * d * (c * half + (d + 1) * quarter), bytes=4 * parameters + 16 * d + 16
        )


class Extremes(nn.Module):
    """The greatest and the mean channel of each position."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 2 h w"]:
        """Return both, the greatest first."""
        return torch.cat([x.amax(dim=1, keepdim=True), x.mean(dim=1, keepdim=True)], dim=1)


class AtMost(nn.Module):
    """A map, made smaller where it has more than ``TOKENS`` rows or columns, pixels averaged."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c i j"]:
        """Return the smaller map."""
        size = [cast(int, torch.sym_min(length, TOKENS)) for length in x.shape[2:]]
        return interpolate(x, size=size, mode="bilinear", align_corners=False, antialias=True)


def _layers(channels: int, hidden: int, kind: str) -> tuple[nn.Sequential, nn.Module]:
    """Return the layers that look, and the last one, whose ``weight`` starts at zero."""
    if kind == "cbam":
        conv = nn.Conv2d(2, 1, kernel_size=7, padding=3, bias=False)
        return nn.Sequential(Extremes(), conv), BatchNorm(1, momentum=0.01)
    logits = nn.Conv2d(hidden, 1, kernel_size=3, padding=1, bias=False)
    if kind == "conv":
        return nn.Sequential(*_halve(channels, hidden), *_halve(hidden, hidden)), logits
    lift = nn.Conv2d(channels, hidden, kernel_size=1, bias=False)
    return nn.Sequential(AtMost(), lift, BatchNorm(hidden), nn.ReLU(), DualAttention(hidden)), logits


def _halve(channels: int, hidden: int) -> tuple[nn.Module, ...]:
    """Return the layers that halve height and width, rounding up."""
    conv = nn.Conv2d(channels, hidden, kernel_size=3, stride=2, padding=1, bias=False)
    return conv, BatchNorm(hidden), nn.ReLU()
