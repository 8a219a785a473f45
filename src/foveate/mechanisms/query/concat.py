"""Concatenating reading: one layer scores the concatenation of query and entry.

Formula c = sum_j a_j m_j, a = softmax_j(v . tanh(W [q; m_j]))
Paper   Luong, Pham, Manning. Effective Approaches to Attention-based Neural Machine Translation. EMNLP 2015.
        arXiv:1508.04025, section 3.1, "concat".
Shapes  query (B, T, Q), memory (B, N, D), mask (B, N) -> context (B, T, D), weights (B, T, N); map (B, T, N),
        rows sum to 1 over what may be read.
Cost    with n = hidden: parameters n*(Q + D + 1); MACs of one query n*Q + N*(n*D + n + D).
Differs none in the numbers; the pair is never formed: W's two halves are applied before the sum. That is
        additive without a bias, its W and U in one matrix.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.mechanisms.base import mechanisms
from foveate.mechanisms.facets import Facets
from foveate.mechanisms.kernels.scored_tanh import tanh_of_sum
from foveate.mechanisms.precision import exact_linear, widen
from foveate.mechanisms.reading.soft_read import SoftRead
from foveate.options import whole


@mechanisms.register("concat")
class ConcatRead(SoftRead):
    """Read a memory by the scores of one layer over query and entry together.

    Args:
        channels: D of the memory's entries.
        query: Q of the queries; None takes ``channels``.
        hidden: Width n of the layer; None takes ``channels``.
        context_gate: "none", or a gate on the context that the query opens: "scalar" or "vector".

    Example:
        >>> import torch
        >>> context, weights = ConcatRead(64, query=32)(torch.rand(2, 3, 32), torch.rand(2, 49, 64))
        >>> context.shape, weights.shape
        (torch.Size([2, 3, 64]), torch.Size([2, 3, 49]))
    """

    facets = Facets(
        over=("positions", "steps"), driven_by="query", weighting="soft", sites=("pool", "output")
    )
    variants = {"query": 24, "hidden": 8, "context_gate": "scalar"}

    def __init__(
        self,
        channels: int,
        *,
        query: int | None = None,
        hidden: int | None = None,
        context_gate: str = "none",
    ) -> None:
        super().__init__(channels, query, context_gate)
        self.hidden = channels if hidden is None else whole("hidden", hidden)
        self.pair = nn.Linear(self.query_channels + channels, self.hidden, bias=False)
        self.energy = nn.Linear(self.hidden, 1, bias=False)

    def keys(self, memory: Float[Tensor, "b n d"]) -> Float[Tensor, "b n k"]:
        """Return W [0; m]."""
        memory = widen(memory)
        return F.linear(memory, self.pair.weight.to(memory.dtype)[:, self.query_channels :])

    def score(self, query: Float[Tensor, "b t q"], keys: Float[Tensor, "b n k"]) -> Float[Tensor, "b t n"]:
        """Return v . tanh(W [q; m])."""
        query = widen(query)
        asked = F.linear(query, self.pair.weight.to(query.dtype)[:, : self.query_channels])
        return exact_linear(self.energy, tanh_of_sum(asked, keys)).squeeze(3)

    def score_cost(self, entries: int) -> tuple[int, int]:
        """Return the closed form of the header, without the context's."""
        asked, held = self.hidden * self.query_channels, self.hidden * self.channels
        return asked + held + self.hidden, asked + entries * (held + self.hidden)
