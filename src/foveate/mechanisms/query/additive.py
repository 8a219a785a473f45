"""Additive reading: a small network scores every entry of a memory for every query.

Formula c = sum_j a_j m_j, a = softmax_j(v . tanh(W q + U m_j + b))
Paper   Bahdanau, Cho, Bengio. Neural Machine Translation by Jointly Learning to Align and Translate.
        ICLR 2015. arXiv:1409.0473, appendix A.1.2; the gate on c, context_gate="scalar": Xu et al. Show,
        Attend and Tell. ICML 2015. arXiv:1502.03044, section 4.2.1.
Shapes  query (B, T, Q), memory (B, N, D), mask (B, N) -> context (B, T, D), weights (B, T, N); map (B, T, N),
        rows sum to 1 over what may be read.
Cost    with n = hidden: parameters n*(Q + D + 1), + n with bias; MACs of one query n*Q + N*(n*D + n + D);
        a scalar gate adds Q + 1 and Q.
Differs starts as PyTorch's linear layers do, not with v = 0. A popular port of the captioner takes
        context_gate="vector" where paper and authors' code take a scalar, and a relu for the tanh.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from foveate.mechanisms.base import mechanisms
from foveate.mechanisms.facets import Facets
from foveate.mechanisms.reading.additive_score import AdditiveScore
from foveate.mechanisms.reading.soft_read import SoftRead
from foveate.options import whole


@mechanisms.register("additive")
class AdditiveRead(SoftRead):
    """Read a memory by the scores of a small network of query and entry.

    Args:
        channels: D of the memory's entries.
        query: Q of the queries; None takes ``channels``.
        hidden: Width n of the small network; None takes ``channels``.
        bias: Whether the network has a bias b.
        context_gate: "none", or a gate on the context that the query opens: "scalar" or "vector".

    Example:
        >>> import torch
        >>> context, weights = AdditiveRead(64, query=32)(torch.rand(2, 3, 32), torch.rand(2, 49, 64))
        >>> context.shape, weights.shape
        (torch.Size([2, 3, 64]), torch.Size([2, 3, 49]))
    """

    facets = Facets(
        over=("positions", "steps"), driven_by="query", weighting="soft", sites=("pool", "output")
    )
    variants = {"query": 24, "hidden": 8, "bias": False, "context_gate": "scalar"}

    def __init__(
        self,
        channels: int,
        *,
        query: int | None = None,
        hidden: int | None = None,
        bias: bool = True,
        context_gate: str = "none",
    ) -> None:
        super().__init__(channels, query, context_gate)
        self.hidden = channels if hidden is None else whole("hidden", hidden)
        self.scores = AdditiveScore(self.query_channels, channels, self.hidden, bias)

    def keys(self, memory: Float[Tensor, "b n d"]) -> Float[Tensor, "b n k"]:
        """Return U m + b."""
        return self.scores.keys(memory)

    def score(self, query: Float[Tensor, "b t q"], keys: Float[Tensor, "b n k"]) -> Float[Tensor, "b t n"]:
        """Return v . tanh(W q + U m + b)."""
        return self.scores.of_keys(query, keys)

    def score_cost(self, entries: int) -> tuple[int, int]:
        """Return the closed form of the header, without the context's."""
        return self.scores.cost(entries)
