"""Attention gate of Attention U-Net: a coarser map says at which positions a skip connection is let through.

Formula grid: q = w . relu(Theta x + up(Phi g + b1)) + b2, Theta of kernel and stride s; a = up(sigmoid(q));
        y = BN(W (a * x) + b3);
        additive: a = sigmoid(BN(w . relu(BN(Theta x + b0) + up(BN(Phi g + b1))) + b2)); y = a * x
Paper   Oktay et al. Attention U-Net: Learning Where to Look for the Pancreas. MIDL 2018. arXiv:1804.03999,
        section 2.
Shapes  x (B, C, H, W), gating (B, G, h, w) of any size -> (B, C, H, W); map (B, 1, H, W), in (0, 1). With
        dimensions=3 a depth comes before the height; a map without one is a single slice.
Cost    with D = hidden or max(1, C // 2), k = stride**dimensions, n = h*w and m =
        floor(H/stride)*floor(W/stride): grid: parameters k*C*D + G*D + 2*D + 1 + C*C + 3*C, MACs m*(k*C*D +
        D) + n*G*D + H*W*C*C; additive: parameters C*D + G*D + 7*D + 3, MACs H*W*(C*D + D) + n*G*D; 8 bytes
        of running statistics a normalised channel, and 8 a normalisation.
Differs nothing from the authors' code by default, other than that zeros are added where a
        side is shorter than the stride. kind="additive" is what most re-implementations compute; they need
        a gating map of the size of x. mode="softmax" shares one unit of weight among the positions, as a
        variant in the authors' code; its weights sum to 1 before they are resized.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError, ShapeError
from foveate.mechanisms.base import BatchNorm, Cost, Facets, MapTap, mechanisms
from foveate.mechanisms.gated import gated
from foveate.mechanisms.interfaces import Gate
from foveate.mechanisms.mixture import resized
from foveate.mechanisms.precision import widen
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
        stride: How many positions a side share one gate; for kind="grid". Paper: 2.
        dimensions: 2 for maps (B, C, H, W), 3 for volumes (B, C, D, H, W).

    Raises:
        OptionError: ``kind``, ``mode`` or ``dimensions`` is none of these.

    Example:
        >>> import torch
        >>> skip, coarse = torch.rand(2, 64, 17, 23), torch.rand(2, 128, 9, 12)
        >>> AttentionGate(64, gating=128)(skip, coarse).shape
        torch.Size([2, 64, 17, 23])
    """

    facets = Facets(over=("positions",), driven_by="query", weighting="soft", sites=("skip",))
    variants = {"kind": "additive", "mode": "softmax", "hidden": 4, "stride": 1, "dimensions": 3}

    def __init__(
        self,
        channels: int,
        *,
        gating: int,
        kind: Literal["grid", "additive"] = "grid",
        mode: Literal["sigmoid", "softmax"] = "sigmoid",
        hidden: int | None = None,
        stride: int = 2,
        dimensions: Literal[2, 3] = 2,
    ) -> None:
        super().__init__()
        for name, value, allowed in (
            ("kind", kind, ("grid", "additive")),
            ("mode", mode, ("sigmoid", "softmax")),
            ("dimensions", dimensions, (2, 3)),
        ):
            if value not in allowed:
                raise OptionError(f"{name}: got {value!r}, expected {allowed[0]!r} or {allowed[1]!r}")
        self.channels = self.out_channels = whole("channels", channels)
        self.gating, self.kind, self.mode, self.dimensions = whole("gating", gating), kind, mode, dimensions
        self.stride = whole("stride", stride) if kind == "grid" else 1
        self.hidden = reduced(channels, 2) if hidden is None else whole("hidden", hidden)
        grid, layer = kind == "grid", nn.Conv2d if dimensions == 2 else nn.Conv3d
        self.theta = layer(channels, self.hidden, self.stride, stride=self.stride, bias=not grid)
        self.phi = layer(gating, self.hidden, kernel_size=1)
        self.psi = layer(self.hidden, 1, kernel_size=1)
        self.output = layer(channels, channels, kernel_size=1) if grid else nn.Identity()
        widths = {"output": channels} if grid else {"theta": self.hidden, "phi": self.hidden, "psi": 1}
        self.norms = nn.ModuleDict({name: BatchNorm(width) for name, width in widths.items()})
        # The depth of a volume has no letter of its own.
        self.map = MapTap(
            "b 1 h w" if dimensions == 2 else "b 1 m h w",
            sums="" if grid or mode == "sigmoid" else "h w" if dimensions == 2 else "m h w",
        )

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
        # A volume is normalised as a map of its slices, one under the other.
        normed: Tensor = norm(x) if x.ndim == 4 else norm(x.flatten(2, 3)).view_as(x)
        return normed

    def _check_both(self, x: Tensor, gating: Tensor) -> None:
        if self.dimensions == 2 or x.ndim != 5:
            self._check(x)
        elif x.shape[1] != self.channels or not x.is_floating_point():
            raise ShapeError(
                f"AttentionGate: got {tuple(x.shape)} of {x.dtype}, expected floating point "
                f"(B, {self.channels}, D, H, W)."
            )
        self._check_gating(gating)
        if gating.ndim != x.ndim:
            raise ShapeError(
                f"AttentionGate: got a gating map of shape {tuple(gating.shape)}, expected {self.gating} "
                f"channels and the {x.ndim} axes of the other map."
            )

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header, for a volume that of one slice."""
        c, d, g, k = self.channels, self.hidden, self.gating, self.stride**self.dimensions
        coarse = ((height + 1) // 2) * ((width + 1) // 2)
        places = max(1, height // self.stride) * max(1, width // self.stride)
        normed = sum(norm.num_features for norm in self.norms.values())  # type: ignore[misc]
        weights = k * c * d + g * d + d
        macs = places * (k * c * d + d) + coarse * g * d
        biases = d + 1 + (c if self.kind == "grid" else d)
        if self.kind == "grid":
            weights, macs = weights + c * c, macs + height * width * c * c
        parameters = weights + biases + 2 * normed
        return Cost(parameters, macs, bytes=4 * parameters + 8 * normed + 8 * len(self.norms))
