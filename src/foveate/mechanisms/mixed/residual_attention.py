"""Residual attention: a trunk of residual units, raised by a soft mask that an hourglass beside it predicts.

Formula z = units_p(x), y = units_p((1 + M(z)) * T(z)), T = units_t,
        M = sigmoid(W2 relu(BN(W1 relu(BN(h_1(z))))) + b2); h_l(z) = enlarge(units_r(d + h_l+1(d))), without
        the second summand at the last of the levels, d = units_r(maxpool3x3/2(z)), enlarge is bilinear;
        unit(x) = x + conv1(relu(BN(conv3(relu(BN(conv1(relu(BN(x)))))))))), C to R to R to C channels
Paper   Wang, Jiang, Qian, Yang, Li, Zhang, Wang, Tang. Residual Attention Network for Image Classification.
        CVPR 2017. arXiv:1704.06904, section 3 and figure 2.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, C, H, W), M in (0, 1).
Cost    with R = max(1, C // reduction), a unit: U = 2*C*R + 9*R*R + 2*C + 4*R parameters and
        V = (2*C*R + 9*R*R)*H*W MACs at its size; parameters (2*p + t + 2*r*levels)*U + 2*C*C + 5*C,
        MACs (2*p + t)*V + 2*C*C*H*W + 2*r*V a level; 8*C + 16*R + 24 bytes of statistics a unit, 16*C + 16.
        Of signals 3 for 9 and L for H*W, of volumes 27 and D*H*W.
        With layout "authors" or "tengshaofeng" U and V more at each level but the last, and C parameters
        fewer.
Differs two levels by default, where the paper has 3, 2 and 1 from its first to its last stage, as its maps
        halve. For lightness there is no unit on the skip path across the hourglass, from d to the sum, and
        small maps are enlarged by half pixels, which does not shift them. layout="authors" has the unit,
        enlarges with aligned corners, pools without padding, rounding up, and has no b2, as their Caffe
        networks do; "tengshaofeng", the much-used PyTorch one, pads, and adds the larger map, d or T(z), to
        each enlarged one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool1d, max_pool2d, max_pool3d

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.batch_norm import BatchNorm
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.resizing import linear_mode
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import precise, widen
from foveate.mechanisms.ranks import RANKS, Dimensions, convolution, of_rank
from foveate.options import one_of, reduced, whole

LAYOUTS = ("light", "authors", "tengshaofeng")
UNIT = {
    "bn1": "0",
    "conv1": "2",
    "bn2": "3",
    "conv2": "5",
    "bn3": "6",
    "conv3": "8",
}  # in tengshaofeng's names

MAX_POOLS = {3: max_pool1d, 4: max_pool2d, 5: max_pool3d}


class Unit(nn.Module):
    """A residual unit with a narrow middle, normalised and activated before each convolution.

    Args:
        channels: C of the map that it will receive.
        hidden: Channels of the middle.
        layer: The class of its convolutions.
    """

    def __init__(self, channels: int, hidden: int, layer: type[nn.Conv2d] = nn.Conv2d) -> None:
        super().__init__()
        self.change = nn.Sequential(
            *(BatchNorm(channels), nn.ReLU(), layer(channels, hidden, 1, bias=False)),
            *(BatchNorm(hidden), nn.ReLU(), layer(hidden, hidden, 3, padding=1, bias=False)),
            *(BatchNorm(hidden), nn.ReLU(), layer(hidden, channels, 1, bias=False)),
        )

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        """Return ``x`` and its change."""
        return x + _in_order(self.change, x)


@mechanisms.register("residual_attention")
class ResidualAttention(Refine):
    """Refine the map by residual units and raise the result by up to twice where the mask says so.

    Args:
        channels: C of the map that it will receive.
        around: Residual units before, and the same number after, trunk and mask. Paper: p = 1.
        trunk: Residual units of the trunk. Paper: t = 2.
        mask: Residual units at each step of the hourglass. Paper: r = 1.
        levels: How often the hourglass halves the map. Paper: 3, 2 or 1, the smaller the map the fewer.
        reduction: How many times narrower the middle of a residual unit is. Paper: 4.
        layout: ``"light"``, ``"authors"`` or ``"tengshaofeng"``: whose hourglass; see Differs.
        dimensions: 1 for signals (B, C, L), 2 for maps (B, C, H, W), 3 for volumes (B, C, D, H, W).

    Raises:
        OptionError: An option is out of range.

    Example:
        >>> import torch
        >>> ResidualAttention(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("channels", "positions"), driven_by="input", weighting="soft", sites=("features", "bottleneck")
    )
    variants = {
        "around": 0,
        "trunk": 1,
        "mask": 2,
        "levels": 1,
        "reduction": 2,
        "layout": "tengshaofeng",
        "dimensions": 3,
    }
    dims = RANKS

    def __init__(
        self,
        channels: int,
        *,
        around: int = 1,
        trunk: int = 2,
        mask: int = 1,
        levels: int = 2,
        reduction: int = 4,
        layout: str = "light",
        dimensions: Dimensions = 2,
    ) -> None:
        super().__init__()
        one_of("layout", layout, LAYOUTS)
        self.layout, crosses = layout, layout != "light"
        self.channels, self.hidden = channels, reduced(channels, reduction)
        self.dimensions, layer = dimensions, convolution(dimensions)
        whole("around", around, least=0)
        self.units = 2 * around + whole("trunk", trunk)
        self.mask, self.levels = whole("mask", mask), whole("levels", levels)
        self.before, self.trunk, self.after = (self._units(count) for count in (around, trunk, around))
        self.down = nn.ModuleList(self._units(mask) for _ in range(levels))
        self.up = nn.ModuleList(self._units(mask) for _ in range(levels))
        self.across = nn.ModuleList(self._units(1) for _ in range(levels - 1 if crosses else 0))
        self.logits = nn.Sequential(
            *(BatchNorm(channels), nn.ReLU(), layer(channels, channels, 1, bias=False)),
            *(BatchNorm(channels), nn.ReLU(), layer(channels, channels, 1, bias=not crosses)),
        )
        self.map = MapTap(of_rank("b c h w", dimensions))

    def _units(self, count: int) -> nn.Sequential:
        layer = convolution(self.dimensions)
        return nn.Sequential(*(Unit(self.channels, self.hidden, layer) for _ in range(count)))

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        """Return the trunk's map times one plus the mask, between the units around them."""
        self._check(x)
        x = self.before(x)
        trunk, mask = self.trunk(x), self.hourglass(x)
        if self.layout == "tengshaofeng":  # a sum that outgrows half precision
            mask = widen(mask) + widen(trunk)
        mask = self.map(_in_order(self.logits, mask).sigmoid())
        return self.after(torch.addcmul(trunk, trunk, mask.to(trunk.dtype)))

    def hourglass(self, x: Float[Tensor, "b c *space"], level: int = 0) -> Float[Tensor, "b c *space"]:
        """Return what the coarser levels see, enlarged to the size of ``x``."""
        near = self.down[level](self._halved(x))
        coarse = near
        if level + 1 < self.levels:
            crossed = self.across[level](near) if self.across else near
            coarse = self.hourglass(near, level + 1)
            if self.layout == "tengshaofeng":  # a sum that outgrows half precision
                coarse = widen(coarse) + widen(crossed) + widen(near)
            else:
                coarse = coarse + crossed
        aligned = self.layout != "light"
        return interpolate(
            self.up[level](coarse), size=x.shape[2:], mode=linear_mode(x), align_corners=aligned
        )

    def _halved(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *half"]:
        pool = MAX_POOLS[x.ndim]
        if self.layout != "authors" or 1 in x.shape[2:]:
            return pool(x, kernel_size=3, stride=2, padding=1)
        return pool(x, kernel_size=3, stride=2, ceil_mode=True)

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return weights in the names of tengshaofeng/ResidualAttentionNetwork-pytorch under our own.

        Its units have a fourth convolution that is never called; it is left out.
        """
        named = {authors_name(name, self.levels): value for name, value in state.items()}
        return {name: value for name, value in named.items() if not re.search(r"\.conv4\.", name)}

    def cost(self, *size: int) -> Cost:
        """Return the closed form of the header."""
        channels, hidden = self.channels, self.hidden
        weights, ends = 2 * channels * hidden + 3**self.dimensions * hidden**2, 2 * channels**2
        units = self.units + 2 * self.mask * self.levels + len(self.across)
        parameters = units * (weights + 2 * channels + 4 * hidden) + ends + 4 * channels
        parameters += channels * (self.layout == "light")
        macs = (self.units * weights + ends) * math.prod(size)
        for level in range(self.levels):
            size = self._half(size)
            macs += (2 * self.mask + (level < len(self.across))) * weights * math.prod(size)
        statistics = units * (8 * channels + 16 * hidden + 24) + 16 * channels + 16
        return Cost(parameters, macs, bytes=4 * parameters + statistics)

    def _half(self, size: tuple[int, ...]) -> tuple[int, ...]:
        if self.layout != "authors" or 1 in size:
            return tuple((side + 1) // 2 for side in size)
        return tuple(max(1, side // 2) for side in size)


def _in_order(layers: nn.Sequential, x: Tensor) -> Tensor:
    """Run layers one after the other, in float32 where ``x`` is, though they are in half precision."""
    for layer in layers:
        x = precise(layer, x) if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d) else layer(x)
    return x


def authors_name(name: str, levels: int) -> str:
    """Return our name for a weight of one of tengshaofeng's attention modules of that many levels."""
    places = {"first_residual_blocks": "before.0", "last_blocks": "after.0"}
    for level in range(1, levels):
        places[f"softmax{level}_blocks"] = f"down.{level - 1}.0"
        places[f"skip{level}_connection_residual_block"] = f"across.{level - 1}.0"
        places[f"softmax{2 * levels - level}_blocks"] = f"up.{level - 1}.0"
    block, _, rest = name.partition(".")
    if block == "trunk_branches":
        at, _, rest = rest.partition(".")
        return _in_unit(f"trunk.{at}", rest)
    if block == f"softmax{levels}_blocks":  # the lowest two units, one after the other
        at, _, rest = rest.partition(".")
        return _in_unit(f"{('down', 'up')[int(at)]}.{levels - 1}.0", rest)
    if block == f"softmax{2 * levels}_blocks":
        return f"logits.{rest}"
    return _in_unit(places[block], rest) if block in places else name


def _in_unit(place: str, rest: str) -> str:
    layer, _, part = rest.partition(".")
    return f"{place}.change.{UNIT[layer]}.{part}" if layer in UNIT else f"{place}.{rest}"
