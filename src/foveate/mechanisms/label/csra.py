"""Class-specific residual attention: every class pools its own score map, where it is high.

Formula logit_c = sum over heads of mean_i s_i + lam * sum_i softmax_i(T s_i) s_i, s_i = w_c . x_i / |w_c|
Paper   Zhu, Wu. Residual Attention: A Simple but Effective Method for Multi-Label Recognition. ICCV 2021.
        arXiv:2108.02456, section 3.
Shapes  x (B, C, H, W) -> logits (B, Q), Q classes; map (B, K, Q, H, W), K heads, sums to 1 over positions.
Cost    parameters K*C*Q, MACs K*C*Q*N, N = H*W.
Differs none; a temperature of 99 or more means the maximum, as in the authors' code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import CheckpointError, OptionError
from foveate.mechanisms.base import Label, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import widen
from foveate.mechanisms.ranks import any_rank
from foveate.options import whole

MAXIMUM = 99.0  # from this temperature on, a head takes the maximum
TEMPERATURES: dict[int, tuple[float, ...]] = {
    1: (1,),
    2: (1, 99),
    4: (1, 2, 4, 99),
    6: (1, 2, 3, 4, 5, 99),
    8: (1, 2, 3, 4, 5, 6, 7, 99),
}


@mechanisms.register("csra")
@any_rank
class ClassSpecificResidualAttention(Label):
    """Score each class by the mean of its score map plus ``lam`` times the mean where the map is high.

    Args:
        channels: C of the map that it will receive.
        classes: Number of classes.
        heads: Number of linear heads; their logits are summed.
        lam: Weight of the attended score. Paper: 0.1 with one head on VOC, 0.5 with four on COCO.
        temperatures: One per head, how sharply it looks; None takes the paper's for this number of heads.

    Raises:
        OptionError: ``temperatures`` are not one per head, or a count is not a positive whole number.

    Example:
        >>> import torch
        >>> ClassSpecificResidualAttention(64, classes=10)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 10])
    """

    facets = Facets(over=("classes", "positions"), driven_by="query", weighting="soft", sites=("output",))
    variants = {"classes": 7, "heads": 4, "lam": 0.7, "temperatures": (3.0,)}

    def __init__(
        self,
        channels: int,
        *,
        classes: int,
        heads: int = 1,
        lam: float = 0.1,
        temperatures: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.channels, self.classes = channels, whole("classes", classes)
        self.heads, self.lam = whole("heads", heads), lam
        self.temperatures = _temperatures(heads, temperatures)
        self.classifier = nn.Conv2d(channels, heads * classes, kernel_size=1, bias=False)
        self.map = MapTap("b k q h w", sums="h w")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b q"]:
        """Return one logit per class."""
        self._check(x)
        norms = widen(self.classifier.weight).flatten(1).norm(dim=1).clamp_min(1e-12)  # (K*Q,)
        scores = widen(self.classifier(x)) / norms[:, None, None]
        scores = scores.unflatten(1, (self.heads, self.classes)).flatten(3)  # (B, K, Q, N)
        pairs = zip(scores.unbind(1), self.temperatures, strict=True)
        weights = torch.stack([_weights(head, temperature) for head, temperature in pairs], dim=1)
        attended = (self.map(weights.unflatten(3, x.shape[2:])).flatten(3) * scores).sum(dim=-1)
        return (scores.mean(dim=-1) + self.lam * attended).sum(dim=1).to(x.dtype)

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return weights in the authors' names, one layer per head, under our own.

        Raises:
            CheckpointError: They have another number of heads.
        """
        numbers = [re.fullmatch(r"multi_head\.(\d+)\.head\.weight", name) for name in state]
        heads = {int(match[1]): state[match[0]] for match in numbers if match}
        if not heads:
            return dict(state)
        if len(heads) != self.heads:
            raise CheckpointError(
                f"these weights are of {len(heads)} heads, here are {self.heads}. Create it with "
                f"heads={len(heads)}."
            )
        rest = {name: value for name, value in state.items() if not name.startswith("multi_head.")}
        return {**rest, "classifier.weight": torch.cat([heads[k] for k in sorted(heads)])}

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        parameters = self.heads * self.channels * self.classes
        return Cost(parameters=parameters, macs=parameters * height * width, bytes=4 * parameters)


def _weights(scores: Float[Tensor, "b q n"], temperature: float) -> Float[Tensor, "b q n"]:
    """Return how much each position counts: softmax, or all for the highest."""
    if temperature < MAXIMUM:
        return (temperature * scores).softmax(dim=-1)
    positions = torch.arange(scores.shape[-1], device=scores.device)
    return (positions == scores.argmax(dim=-1, keepdim=True)).to(scores.dtype)


def _temperatures(heads: int, temperatures: Sequence[float] | None) -> tuple[float, ...]:
    if temperatures is None:
        if heads not in TEMPERATURES:
            raise OptionError(
                f"heads: got {heads!r}; the paper has temperatures for {', '.join(map(str, TEMPERATURES))}. "
                "Take one of these, or give temperatures=(...), one per head"
            )
        return TEMPERATURES[heads]
    if not isinstance(temperatures, Sequence) or len(temperatures) != heads:
        raise OptionError(
            f"temperatures: got {temperatures!r}, expected one number for each of {heads!r} heads"
        )
    return tuple(float(t) for t in temperatures)
