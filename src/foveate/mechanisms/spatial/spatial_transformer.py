"""Spatial transformer: a small network says where to look, and the map is resampled there.

Formula y = x + S(x, I + D) - S(x, I), D = W2 relu(conv(relu(conv(x resized to size x size)))) + b2, a 2 x 3
        matrix; S(x, A) samples x at A (u, v, 1)^T for each position (u, v) in [-1, 1]^2, bilinearly
Paper   Jaderberg, Simonyan, Zisserman, Kavukcuoglu. Spatial Transformer Networks. NeurIPS 2015.
        arXiv:1506.02025, section 3.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, H, W, 2): at which (u, v) each position was sampled, -1 and 1
        the outer edges of the corner pixels (align_corners=False), not bounded.
Cost    with D = hidden, s = ceil(size/2), t = ceil(s/2): parameters 9*C*D + 9*D*D + 2*D + 6*D*t*t + 6,
        MACs 9*C*D*s*s + 9*D*D*t*t + 6*D*t*t, whatever H and W. Sampling is not counted.
Differs S(x, I) is x but for rounding: with it a fresh module, where W2 and b2 are 0, returns its input to the
        bit. The network sees a map of a fixed size, so that any size will do; the paper leaves its form open.
        The only weights are places: what lies elsewhere is not attenuated but left out.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import full_precision, precise, widen
from foveate.options import one_of, whole


@mechanisms.register("spatial_transformer")
class SpatialTransformer(Refine):
    """Shift, scale, turn and shear the map so that what matters is where it is expected.

    Args:
        channels: C of the map that it will receive.
        hidden: Channels of the network that finds the place.
        size: Height and width, in pixels, at which that network sees the map.
        padding: What lies beyond the edge: "zeros", or the "border" pixels again.

    Raises:
        OptionError: ``hidden`` or ``size`` is not a positive whole number, or ``padding`` is unknown.

    Example:
        >>> import torch
        >>> images = torch.rand(2, 3, 33, 48)
        >>> torch.equal(SpatialTransformer(3)(images), images)
        True
    """

    facets = Facets(over=("positions",), driven_by="input", weighting="soft", sites=("input", "features"))
    variants = {"hidden": 4, "size": 10, "padding": "border"}
    gate = "regress.weight"

    def __init__(self, channels: int, *, hidden: int = 8, size: int = 16, padding: str = "zeros") -> None:
        super().__init__()
        one_of("padding", padding, ("zeros", "border"))
        self.channels, self.hidden = whole("channels", channels), whole("hidden", hidden)
        self.size, self.padding = whole("size", size), padding
        self.side = -(-size // 4)  # of what the regression sees
        self.see = nn.Conv2d(channels, hidden, kernel_size=3, stride=2, padding=1)
        self.locate = nn.Conv2d(hidden, hidden, kernel_size=3, stride=2, padding=1)
        self.regress = nn.Conv2d(hidden, 6, kernel_size=self.side)
        nn.init.zeros_(self.regress.weight)
        nn.init.zeros_(self.regress.bias)  # type: ignore[arg-type]
        self.map = MapTap("b h w p", low=-math.inf, high=math.inf)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` resampled."""
        self._check(x)
        wide = widen(x)
        with full_precision(x):
            places = _positions(wide)
            still = places[..., :2].expand(x.shape[0], -1, -1, -1)
            # Products and sums, not a matrix product, whose rounding depends on the size of the map.
            moved = still + (self._change(wide)[:, None, None] * places.unsqueeze(3)).sum(dim=4)
            change = self._sample(wide, self.map(moved)) - self._sample(wide, still)
        return (wide + change).to(x.dtype)

    def _change(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 2 3"]:
        """Return by how much the affine map differs from the identity."""
        seen = F.interpolate(x, size=(self.size, self.size), mode="bilinear", align_corners=False)
        for layer in (self.see, self.locate):
            seen = precise(layer, seen).relu()
        return precise(self.regress, seen).flatten(1).unflatten(1, (2, 3))

    def _sample(self, x: Float[Tensor, "b c h w"], places: Float[Tensor, "b h w 2"]) -> Tensor:
        return F.grid_sample(x, places, mode="bilinear", padding_mode=self.padding, align_corners=False)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        c, d, half, quarter = self.channels, self.hidden, (-(-self.size // 2)) ** 2, self.side**2
        parameters = 9 * c * d + 9 * d * d + 2 * d + 6 * d * quarter + 6
        macs = 9 * c * d * half + 9 * d * d * quarter + 6 * d * quarter
        return Cost(parameters, macs=macs, bytes=4 * parameters)


def _positions(x: Tensor) -> Float[Tensor, "1 h w 3"]:
    """Return (u, v, 1) of each position: the centres of the pixels, the edges of the map at -1 and 1."""
    height, width = x.shape[2:]
    rows, columns = (
        (2 * torch.arange(length, dtype=x.dtype, device=x.device) + 1) / length - 1
        for length in (height, width)
    )
    v, u = rows[:, None].expand(height, width), columns[None].expand(height, width)
    return torch.stack([u, v, torch.ones_like(u)], dim=-1)[None]
