"""Attention gate of Attention U-Net: a coarser map says at which positions a skip connection is let through.

Formula grid: q = w . relu(Theta x + up(Phi g + b1)) + b2, Theta of kernel and stride s; a = up(sigmoid(q));
        y = BN(W (a * x) + b3);
        additive: a = sigmoid(BN(w . relu(BN(Theta x + b0) + up(BN(Phi g + b1))) + b2)); y = a * x
Paper   Oktay et al. Attention U-Net: Learning Where to Look for the Pancreas. MIDL 2018. arXiv:1804.03999,
        section 2.
Shapes  x (B, C, H, W), gating (B, G, h, w) of any size -> (B, C, H, W); map (B, 1, H, W), in (0, 1). With
        dimensions=3 a depth comes before the height; a map without one is a single slice. dimensions=1 has
        the width alone.
Cost    with D = hidden or max(1, C // 2), k = stride**dimensions, n = h*w of half the sides and m =
        floor(H/stride)*floor(W/stride), for a volume with its depth: grid: parameters k*C*D + G*D + 2*D + 1 +
        C*C + 3*C, MACs m*(k*C*D + D) + n*G*D + H*W*C*C; additive: parameters C*D +
        G*D + 7*D + 3, MACs H*W*(C*D + D) + n*G*D; 8 bytes of running statistics a normalised channel, and 8
        a normalisation.
Differs none from the authors' code by default, other than that zeros are added where a
        side is shorter than the stride. kind="additive" is what most re-implementations compute; they need
        a gating map of the size of x. mode="softmax" shares one unit of weight among the positions, as a
        variant in the authors' code; its weights sum to 1 before they are resized.
"""

from __future__ import annotations

import math
from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.mechanisms.base import Gate, mechanisms
from foveate.mechanisms.batch_norm import BatchNorm
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.gating import gated
from foveate.mechanisms.kernels.resizing import resized
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import widen
from foveate.mechanisms.ranks import RANKS, Dimensions, convolution, of_rank
from foveate.options import reduced, whole


@mechanisms.register("attention_gate")
class AttentionGate(Gate):
    """Gate each position of a skip connection by what it and a coarser map say.

    Args:
        channels: C of the skip connection's map.
        gating: Channels of the coarser map.
        kind: "grid" (authors' code) or "additive" (re-implementations).
        mode: "sigmoid": each position has its own gate; "softmax": the positions share one unit.
        hidden: Channels in which the two maps are added; None for half of C.
        stride: How many positions along each side share one gate; for kind="grid". Paper: 2.
        dimensions: 1 for signals (B, C, L), 2 for maps (B, C, H, W), 3 for volumes (B, C, D, H, W).

    Raises:
        OptionError: ``kind``, ``mode`` or ``dimensions`` is unknown.

    Example:
        >>> import torch
        >>> skip, coarse = torch.rand(2, 64, 17, 23), torch.rand(2, 128, 9, 12)
        >>> AttentionGate(64, gating=128)(skip, coarse).shape
        torch.Size([2, 64, 17, 23])
    """

    facets = Facets(over=("positions",), driven_by="query", weighting="soft", sites=("skip",))
    variants = {"kind": "additive", "mode": "softmax", "hidden": 4, "stride": 1, "dimensions": 3}
    dims = RANKS

    def __init__(
        self,
        channels: int,
        *,
        gating: int,
        kind: Literal["grid", "additive"] = "grid",
        mode: Literal["sigmoid", "softmax"] = "sigmoid",
        hidden: int | None = None,
        stride: int = 2,
        dimensions: Dimensions = 2,
    ) -> None:
        super().__init__()
        for name, value, allowed in (
            ("kind", kind, ("grid", "additive")),
            ("mode", mode, ("sigmoid", "softmax")),
        ):
            if value not in allowed:
                raise OptionError(f"{name}: got {value!r}, expected {allowed[0]!r} or {allowed[1]!r}")
        self.channels = self.out_channels = whole("channels", channels)
        self.gating, self.kind, self.mode, self.dimensions = whole("gating", gating), kind, mode, dimensions
        self.stride = whole("stride", stride) if kind == "grid" else 1
        self.hidden = reduced(channels, 2) if hidden is None else whole("hidden", hidden)
        grid, layer = kind == "grid", convolution(dimensions)
        self.theta = layer(channels, self.hidden, self.stride, stride=self.stride, bias=not grid)
        self.phi = layer(gating, self.hidden, kernel_size=1)
        self.psi = layer(self.hidden, 1, kernel_size=1)
        self.output = layer(channels, channels, kernel_size=1) if grid else nn.Identity()
        widths = {"output": channels} if grid else {"theta": self.hidden, "phi": self.hidden, "psi": 1}
        self.norms = nn.ModuleDict({name: BatchNorm(width) for name, width in widths.items()})
        axes = of_rank("b 1 h w", dimensions)
        self.map = MapTap(axes, sums="" if grid or mode == "sigmoid" else axes.removeprefix("b 1 "))

    def forward(
        self, x: Float[Tensor, "b c *space"], gating: Float[Tensor, "b g *coarse"]
    ) -> Float[Tensor, "b c *space"]:
        """Return ``x`` with every position multiplied by its gate, for kind="grid" projected after that."""
        self._check_both(x, gating)
        if self.dimensions == 3 and x.ndim == 4:
            gated_slice: Tensor = self.forward(x.unsqueeze(2), gating.unsqueeze(2)).squeeze(2)
            return gated_slice
        gate = self.map(self._weigh(x, gating)).to(x.dtype)
        return self._normed("output", self.output(gated(x, gate)))

    def _weigh(self, x: Tensor, gating: Tensor) -> Tensor:
        missing = [max(0, self.stride - size) for size in reversed(x.shape[2:])]
        theta = self.theta(F.pad(x, [end for size in missing for end in (0, size)]) if any(missing) else x)
        theta, phi = self._normed("theta", theta), self._normed("phi", self.phi(gating))
        logits = self._normed("psi", self.psi((theta + resized(phi, theta)).relu_()))
        if self.mode == "sigmoid":
            return resized(logits.sigmoid(), x)
        shares = widen(logits).flatten(2).softmax(dim=2).unflatten(2, logits.shape[2:])
        return resized(shares.to(x.dtype), x)

    def _normed(self, name: str, x: Tensor) -> Tensor:
        if name not in self.norms:
            return x
        norm = self.norms[name]
        normed: Tensor = norm(x)
        return normed

    def _check_both(self, x: Tensor, gating: Tensor) -> None:
        one_slice = self.dimensions == 3 and x.ndim == 4
        self._check(x.unsqueeze(2) if one_slice else x)
        self._check_gating(x, gating)

    def cost(self, *size: int) -> Cost:
        """Return the closed form of the header; a volume's size is one slice if it has no depth."""
        c, d, g, k = self.channels, self.hidden, self.gating, self.stride**self.dimensions
        coarse = math.prod((side + 1) // 2 for side in size)
        places = math.prod(max(1, side // self.stride) for side in size)
        normed = sum(norm.num_features for norm in self.norms.values())  # type: ignore[misc]
        weights = k * c * d + g * d + d
        macs = places * (k * c * d + d) + coarse * g * d
        biases = d + 1 + (c if self.kind == "grid" else d)
        if self.kind == "grid":
            weights, macs = weights + c * c, macs + math.prod(size) * c * c
        parameters = weights + biases + 2 * normed
        return Cost(parameters, macs, bytes=4 * parameters + 8 * normed + 8 * len(self.norms))
