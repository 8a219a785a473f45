"""Location reading: the query alone decides which places of the memory count, whatever is stored there.

Formula c = sum_j a_j m_j, a = softmax_j((W q)_j)
Paper   Luong, Pham, Manning. Effective Approaches to Attention-based Neural Machine Translation. EMNLP 2015.
        arXiv:1508.04025, section 3.1, "location".
Shapes  query (B, T, Q), memory (B, N, D), mask (B, N) -> context (B, T, D), weights (B, T, N); map (B, T, N),
        rows sum to 1 over what may be read.
Cost    with S = size: parameters S*Q; MACs of one query S*Q + N*D.
Differs none with fit="cut": a shorter memory takes the first rows of W; nothing after the last is read.
        fit="stretch" interpolates the S scores to N, for regions rather than words.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.mechanisms.base import mechanisms
from foveate.mechanisms.facets import Facets
from foveate.mechanisms.precision import exact_linear, widen
from foveate.mechanisms.reading.scores import hidden
from foveate.mechanisms.reading.soft_read import SoftRead
from foveate.options import one_of, whole


@mechanisms.register("location")
class LocationRead(SoftRead):
    """Read a memory at places that the query chooses without a look at it.

    Args:
        channels: D of the memory's entries.
        query: Q of the queries; None takes ``channels``.
        size: Number of places that have a score of their own.
        fit: What a memory of another size gets: "cut" takes the first scores and reads nothing after the
            last; "stretch" interpolates them linearly to the whole memory.
        context_gate: "none", or a gate on the context that the query opens: "scalar" or "vector".

    Raises:
        OptionError: ``fit`` is unknown, or ``size`` is not a positive whole number.

    Example:
        >>> import torch
        >>> context, weights = LocationRead(64)(torch.rand(2, 3, 64), torch.rand(2, 49, 64))
        >>> context.shape, weights.shape
        (torch.Size([2, 3, 64]), torch.Size([2, 3, 49]))
    """

    facets = Facets(
        over=("positions", "steps"), driven_by="query", weighting="soft", sites=("pool", "output")
    )
    variants = {"query": 24, "size": 20, "fit": "stretch", "context_gate": "scalar"}

    def __init__(
        self,
        channels: int,
        *,
        query: int | None = None,
        size: int = 50,
        fit: str = "cut",
        context_gate: str = "none",
    ) -> None:
        super().__init__(channels, query, context_gate)
        one_of("fit", fit, ("cut", "stretch"))
        self.size, self.fit = whole("size", size), fit
        self.places = nn.Linear(self.query_channels, size, bias=False)

    def energies(
        self,
        query: Float[Tensor, "b t q"],
        keys: Float[Tensor, "b n k"],
        mask: Bool[Tensor, "b n"] | None,
    ) -> tuple[Float[Tensor, "b t n"], Bool[Tensor, "b _ n"] | None]:
        """Return the scores; nothing is read after the last place that has one."""
        if self.fit == "cut":
            known = torch.arange(keys.shape[1], device=keys.device) < self.size
            mask = known.expand(keys.shape[:2]) if mask is None else mask & known
        return widen(self.score(query, keys)), hidden(mask)

    def score(self, query: Float[Tensor, "b t q"], keys: Float[Tensor, "b n k"]) -> Float[Tensor, "b t n"]:
        """Return W q, laid out over the memory's places."""
        scores = exact_linear(self.places, query)
        if self.fit == "stretch":
            return F.interpolate(widen(scores), size=keys.shape[1], mode="linear", align_corners=False)
        row = torch.arange(keys.shape[1], device=keys.device).clamp_max(self.size - 1)
        return scores[:, :, row]

    def score_cost(self, entries: int) -> tuple[int, int]:
        """Return the closed form of the header, without the context's."""
        weights = self.size * self.query_channels
        return weights, weights
