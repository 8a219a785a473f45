"""Multiplicative reading: an entry counts by its dot product with a linear map of the query.

Formula c = sum_j a_j m_j, a = softmax_j(q^T W m_j)
Paper   Luong, Pham, Manning. Effective Approaches to Attention-based Neural Machine Translation. EMNLP 2015.
        arXiv:1508.04025, section 3.1, "general".
Shapes  query (B, T, Q), memory (B, N, D), mask (B, N) -> context (B, T, D), weights (B, T, N); map (B, T, N),
        rows sum to 1 over what may be read.
Cost    parameters Q*D; MACs of one query Q*D + 2*N*D.
Differs none; scores of half types are in float32.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import mechanisms
from foveate.mechanisms.facets import Facets
from foveate.mechanisms.precision import exact_linear
from foveate.mechanisms.reading.scores import products
from foveate.mechanisms.reading.soft_read import SoftRead


@mechanisms.register("general")
class GeneralRead(SoftRead):
    """Read a memory by a bilinear form of query and entry.

    Args:
        channels: D of the memory's entries.
        query: Q of the queries; None takes ``channels``.
        context_gate: "none", or a gate on the context that the query opens: "scalar" or "vector".

    Example:
        >>> import torch
        >>> context, weights = GeneralRead(64)(torch.rand(2, 3, 64), torch.rand(2, 49, 64))
        >>> context.shape, weights.shape
        (torch.Size([2, 3, 64]), torch.Size([2, 3, 49]))
    """

    facets = Facets(
        over=("positions", "steps"), driven_by="query", weighting="soft", sites=("pool", "output")
    )
    variants = {"query": 24, "context_gate": "scalar"}

    def __init__(self, channels: int, *, query: int | None = None, context_gate: str = "none") -> None:
        super().__init__(channels, query, context_gate)
        self.form = nn.Linear(self.query_channels, channels, bias=False)  # its weight is W transposed

    def score(self, query: Float[Tensor, "b t q"], keys: Float[Tensor, "b n k"]) -> Float[Tensor, "b t n"]:
        """Return q^T W m."""
        return products(exact_linear(self.form, query), keys)

    def score_cost(self, entries: int) -> tuple[int, int]:
        """Return the closed form of the header, without the context's."""
        weights = self.query_channels * self.channels
        return weights, weights + entries * self.channels
