"""Scale attention: maps of several scales, weighed against each other at every position.

Formula h = W2 relu(conv3x3([U_1; ...; U_S]) + b1) + b2; a = softmax_s(h); y = sum_s a_s * V_s, with V_s =
        U_s or, given out_channels, V_s = P_s U_s + c_s
Paper   Chen, Yang, Wang, Xu, Yuille. Attention to Scale: Scale-Aware Semantic Image Segmentation. CVPR 2016.
        arXiv:1511.03339, section 3.2.
Shapes  S maps (B, C_i, H, W) -> (B, O, H, W); map (B, S, H, W), for kind="max" (B, S, O, H, W);
        sums to 1 over the S scales.
Cost    with F = sum_i C_i, D = hidden: parameters 9*F*D + D + D*S + S, and F*O + S*O with out_channels;
        MACs H*W*(9*F*D + D*S), and H*W*F*O with out_channels. The baselines have the latter parts only.
Differs the paper weighs the score maps by weights from the features; here both come from the same maps, and
        out_channels = classes gives the scores; ``mixed`` takes the two apart. Its dropout is left out.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Fuse, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.gating import mixture
from foveate.mechanisms.kernels.resizing import fitted
from foveate.mechanisms.map_tap import MapTap
from foveate.options import each_width, one_of, one_width, whole


@mechanisms.register("scale_attention")
class ScaleAttention(Fuse):
    """Sum maps under weights that each position gives to each map.

    Args:
        channels: C of the maps, one number for all or one for each; equal unless ``out_channels`` is given.
        maps: How many maps. Paper: 3, of the image at sizes 1, 0.75 and 0.5.
        out_channels: Width that every map is projected to before the sum; None to sum the maps themselves.
        hidden: Channels between the two layers that compute the weights. Paper: 512.

        kind: "attention"; or one of the baselines that the paper compares with, which have no weights to
            learn: "mean" of the scales, and "max", the greatest value of each channel at each position.

    Raises:
        OptionError: ``kind`` is unknown, or the maps differ in channels and ``out_channels`` is None.

    Example:
        >>> import torch
        >>> maps = [torch.rand(2, 16, size, size) for size in (9, 7, 5)]
        >>> ScaleAttention(16, hidden=32)(maps).shape
        torch.Size([2, 16, 9, 9])
    """

    facets = Facets(
        over=("scales", "positions"), driven_by="input", weighting="soft", sites=("skip", "output")
    )
    variants = {"maps": 2, "out_channels": 24, "hidden": 8, "kind": "max"}

    def __init__(
        self,
        channels: int | tuple[int, ...],
        *,
        maps: int = 3,
        out_channels: int | None = None,
        hidden: int = 512,
        kind: Literal["attention", "mean", "max"] = "attention",
    ) -> None:
        super().__init__()
        one_of("kind", kind, ("attention", "mean", "max"))
        self.kind = kind
        self.widths = each_width(channels, maps)
        self.channels, self.hidden = self.widths[0], whole("hidden", hidden)
        self.out_channels = (
            one_width(self.widths) if out_channels is None else whole("out_channels", out_channels)
        )
        self.projections = nn.ModuleList(
            nn.Conv2d(width, self.out_channels, kernel_size=1)
            for width in (() if out_channels is None else self.widths)
        )
        if kind == "attention":
            self.see = nn.Conv2d(sum(self.widths), hidden, kernel_size=3, padding=1)
            self.weigh = nn.Conv2d(hidden, maps, kernel_size=1)
        self.map = MapTap("b s c h w" if kind == "max" else "b s h w", sums="s")

    def forward(self, maps: list[Float[Tensor, "b _ _ _"]]) -> Float[Tensor, "b o h w"]:
        """Return the weighted sum."""
        self._check_maps(maps)
        scales = fitted(maps)
        values = scales
        if self.projections:
            values = [layer(x) for layer, x in zip(self.projections, scales, strict=True)]
        return self.mixed(values, scales)

    def mixed(
        self, values: list[Float[Tensor, "b o h w"]], features: list[Float[Tensor, "b _ h w"]]
    ) -> Float[Tensor, "b o h w"]:
        """Return the sum of ``values``, weighed by what ``features`` say: all of one height and width.

        As in the paper, which weighs score maps by the features that they came from.
        """
        if self.kind == "max":
            stacked = torch.stack(values, dim=1)
            greatest = stacked.argmax(dim=1, keepdim=True)
            return mixture(values, self.map(torch.zeros_like(stacked).scatter(1, greatest, 1.0)))
        return mixture(values, self.map(self._shares(features)).unsqueeze(2))

    def _shares(self, scales: list[Tensor]) -> Tensor:
        if self.kind == "mean":
            alike = torch.full_like(scales[0][:, :1], 1 / len(scales))
            return alike.expand(-1, len(scales), -1, -1)
        logits: Tensor = self.weigh(self.see(torch.cat(scales, dim=1)).relu())
        return logits.softmax(dim=1)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        features, scales = sum(self.widths), len(self.widths)
        weights = parameters = 0
        if self.kind == "attention":
            weights = self.hidden * (9 * features + scales)
            parameters = weights + self.hidden + scales
        if self.projections:
            weights += features * self.out_channels
            parameters += (features + scales) * self.out_channels
        return Cost(parameters, macs=weights * height * width, bytes=4 * parameters)
