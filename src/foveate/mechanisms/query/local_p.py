"""Local reading with a predicted centre (local-p): the query says where to look, and what counts near there.

Formula c = sum_j a_j m_j, a_j = softmax_j(q^T W m_j) * exp(-(j - p)^2 / (2 s^2)) for |j - p| <= w, else 0,
        p = S sigmoid(v . tanh(W_p q)), s = w/2, S entries, counted from 0; the softmax is over the window
Paper   Luong, Pham, Manning. Effective Approaches to Attention-based Neural Machine Translation. EMNLP 2015.
        arXiv:1508.04025, section 3.2, "local-p", with the "general" score.
Shapes  query (B, T, Q), memory (B, N, D), mask (B, N) -> context (B, T, D), weights (B, T, N); map (B, T, N),
        rows sum to 1, with normalise=False to at most 1.
Cost    with n = hidden: parameters Q*D + n*(Q + 1); MACs of one query Q*D + n*(Q + 1) + 2*N*D.
Differs the weights are divided by their sum, for the Gaussian else shrinks the context, to 60 % where the
        scores are equal; normalise=False is the paper. S is the place after the last entry that may be read.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.mechanisms.base import mechanisms
from foveate.mechanisms.facets import Facets
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import exact_linear, full_precision, widen
from foveate.mechanisms.reading.scores import masked_softmax, products
from foveate.mechanisms.reading.soft_read import SoftRead
from foveate.options import whole


@mechanisms.register("local_p")
class LocalPredictiveRead(SoftRead):
    """Read a memory in a window around a place that the query predicts.

    Args:
        channels: D of the memory's entries.
        query: Q of the queries; None takes ``channels``.
        window: w, how many entries to each side of the centre are read. Paper: 10.
        hidden: Width n of the layer that predicts the centre; None takes the query's.
        normalise: Whether the weights are divided by their sum after the Gaussian.
        context_gate: "none", or a gate on the context that the query opens: "scalar" or "vector".

    Example:
        >>> import torch
        >>> context, weights = LocalPredictiveRead(64, window=3)(torch.rand(2, 3, 64), torch.rand(2, 49, 64))
        >>> context.shape, weights.shape
        (torch.Size([2, 3, 64]), torch.Size([2, 3, 49]))
    """

    facets = Facets(
        over=("positions", "steps"), driven_by="query", weighting="soft", sites=("pool", "output")
    )
    variants = {"query": 24, "window": 3, "hidden": 8, "normalise": False, "context_gate": "scalar"}

    def __init__(
        self,
        channels: int,
        *,
        query: int | None = None,
        window: int = 10,
        hidden: int | None = None,
        normalise: bool = True,
        context_gate: str = "none",
    ) -> None:
        super().__init__(channels, query, context_gate)
        self.window, self.normalise = whole("window", window), normalise
        self.hidden = self.query_channels if hidden is None else whole("hidden", hidden)
        self.form = nn.Linear(self.query_channels, channels, bias=False)
        self.predict = nn.Linear(self.query_channels, self.hidden, bias=False)
        self.centre = nn.Linear(self.hidden, 1, bias=False)
        if not normalise:
            self.map = MapTap("b t m")

    def weigh(
        self,
        query: Float[Tensor, "b t q"],
        keys: Float[Tensor, "b n k"],
        mask: Bool[Tensor, "b n"] | None,
    ) -> Float[Tensor, "b t n"]:
        """Return the weights; zeros outside the window."""
        if self.normalise:  # softmax(e) * g over its sum is softmax(e + log g): no division by near 0
            return masked_softmax(*self.energies(query, keys, mask))
        with full_precision(query):
            away, outside = self._away(query, keys, mask)
            return masked_softmax(self.score(query, keys), outside) * self._log_gaussian(away).exp()

    def energies(
        self,
        query: Float[Tensor, "b t q"],
        keys: Float[Tensor, "b n k"],
        mask: Bool[Tensor, "b n"] | None,
    ) -> tuple[Float[Tensor, "b t n"], Bool[Tensor, "b t n"]]:
        """Return the scores with the logarithm of the Gaussian; nothing is read outside the window."""
        with full_precision(query):
            away, outside = self._away(query, keys, mask)
            return self.score(query, keys) + self._log_gaussian(away), outside

    def _away(
        self, query: Tensor, keys: Tensor, mask: Tensor | None
    ) -> tuple[Float[Tensor, "b t n"], Bool[Tensor, "b t n"]]:
        """Return how far each entry is from the centre, and whether it is outside the window."""
        away = torch.arange(keys.shape[1], device=keys.device) - self._centres(query, keys, mask)
        outside = away.abs() > self.window
        return away, outside if mask is None else outside | ~mask.unsqueeze(1)

    def _log_gaussian(self, away: Float[Tensor, "b t n"]) -> Float[Tensor, "b t n"]:
        return -2 * (away / self.window) ** 2

    def score(self, query: Float[Tensor, "b t q"], keys: Float[Tensor, "b n k"]) -> Float[Tensor, "b t n"]:
        """Return q^T W m."""
        return products(exact_linear(self.form, widen(query)), keys)

    def _centres(self, query: Tensor, keys: Tensor, mask: Tensor | None) -> Float[Tensor, "b t 1"]:
        """Return p, in entries from 0 to S."""
        share = exact_linear(self.centre, exact_linear(self.predict, widen(query)).tanh()).sigmoid()
        if mask is None:
            return share * keys.shape[1]
        behind = torch.arange(1, keys.shape[1] + 1, device=keys.device) * mask
        return share * F.pad(behind, (1, 0)).amax(dim=1)[:, None, None]

    def score_cost(self, entries: int) -> tuple[int, int]:
        """Return the closed form of the header, without the context's."""
        weights = self.query_channels * (self.channels + self.hidden) + self.hidden
        return weights, weights + entries * self.channels
