"""Layer weights: one vector from each of several layers, weighed against each other.

Formula g_s = LN_s(P_s mean_hw(U_s)); static: y = gamma * sum_s softmax(w)_s g_s;
        input: y = sum_s softmax_s(q . tanh(V g_s)) g_s; equal: y = sum_s g_s / S
Paper   static: Peters et al. Deep Contextualized Word Representations. NAACL 2018. arXiv:1802.05365,
        section 3.2, equation 1; input: Bahdanau, Cho, Bengio. Neural Machine Translation by Jointly
        Learning to Align and Translate. ICLR 2015. arXiv:1409.0473, section 3.1.
Shapes  S maps (B, C_s, H_s, W_s) of any sizes -> (B, D, 1, 1); map (B, S), sums to 1 over the S layers.
Cost    with F = sum_s C_s, D = out_channels: parameters F*D + 2*S*D, and S + 1 (static), D*D + D (input) or
        0 (equal); MACs F*D, and S*(D*D + D) (input).
Differs the papers weigh the layers of a text encoder and the words of a sentence; weighing the stages of a
        vision network by their pooled features is our own use. A fresh static one is the plain mean.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Fuse, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.reductions import mean
from foveate.mechanisms.map_tap import MapTap
from foveate.options import each_width, one_of, whole


@mechanisms.register("layer_weights")
class LayerWeights(Fuse):
    """Pool the maps of several layers and sum the results under learnt weights.

    Args:
        channels: C of the maps, one number for all or one for each.
        maps: How many layers.
        out_channels: D, the width that every layer is projected to.
        kind: "static": the same weights for all images; "input": computed from each image's layers;
            "equal": none are learnt, every layer counts alike.

    Raises:
        OptionError: ``kind`` is none of these.

    Example:
        >>> import torch
        >>> stages = [torch.rand(2, 64, 8, 8), torch.rand(2, 128, 4, 4)]
        >>> LayerWeights((64, 128), maps=2)(stages).shape
        torch.Size([2, 256, 1, 1])
    """

    facets = Facets(over=("layers",), driven_by="input", weighting="soft", sites=("pool",))
    variants = {"maps": 2, "out_channels": 24, "kind": "input"}
    pooled: ClassVar[bool] = True

    def __init__(
        self,
        channels: int | tuple[int, ...],
        *,
        maps: int = 4,
        out_channels: int = 256,
        kind: Literal["static", "input", "equal"] = "static",
    ) -> None:
        super().__init__()
        one_of("kind", kind, ("static", "input", "equal"))
        self.widths = each_width(channels, maps)
        self.channels, self.kind = self.widths[0], kind
        self.out_channels = whole("out_channels", out_channels)
        self.projections = nn.ModuleList(nn.Linear(width, out_channels, bias=False) for width in self.widths)
        self.norms = nn.ModuleList(nn.LayerNorm(out_channels) for _ in self.widths)
        if kind == "static":
            self.logits = nn.Parameter(torch.zeros(maps))
            self.gamma = nn.Parameter(torch.ones(1))
        elif kind == "input":
            self.see = nn.Linear(out_channels, out_channels, bias=False)
            self.score = nn.Linear(out_channels, 1, bias=False)
        self.map = MapTap("b s", sums="s")

    def forward(self, maps: list[Float[Tensor, "b _ _ _"]]) -> Float[Tensor, "b o 1 1"]:
        """Return the weighted sum of the pooled layers."""
        self._check_maps(maps)
        layers = zip(self.projections, self.norms, maps, strict=True)
        vectors = torch.stack([norm(project(mean(x, 2, 3).flatten(1))) for project, norm, x in layers], dim=1)
        weights = self.map(self._weigh(vectors)).unsqueeze(2)  # (B, S, 1) beside (B, S, D)
        summed = (weights * vectors).sum(dim=1)
        if self.kind == "static":
            summed = summed * self.gamma
        return summed.to(maps[0].dtype)[:, :, None, None]

    def _weigh(self, vectors: Tensor) -> Tensor:
        if self.kind == "equal":
            return vectors.new_full(vectors.shape[:2], 1 / vectors.shape[1])
        if self.kind == "static":
            return self.logits.softmax(dim=0).expand(vectors.shape[0], -1)
        scores: Tensor = self.score(self.see(vectors).tanh())
        return scores.squeeze(2).softmax(dim=1)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        features, layers, d = sum(self.widths), len(self.widths), self.out_channels
        scores = d * d + d if self.kind == "input" else 0
        weights = {"static": layers + 1, "input": scores, "equal": 0}[self.kind]
        parameters = features * d + 2 * layers * d + weights
        return Cost(parameters, macs=features * d + layers * scores, bytes=4 * parameters)
