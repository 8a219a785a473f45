"""Scaled dot-product reading: an entry counts by its dot product with the query, over sqrt(D).

Formula c = sum_j a_j m_j, a = softmax_j(q . m_j / sqrt(D))
Paper   Vaswani et al. Attention Is All You Need. NeurIPS 2017. arXiv:1706.03762, section 3.2.1.
Shapes  query (B, T, Q), memory (B, N, D), mask (B, N) -> context (B, T, D), weights (B, T, N); map (B, T, N),
        rows sum to 1 over what may be read.
Cost    no parameters; MACs of one query 2*N*D; with Q != D both Q*D more.
Differs the memory is key and value at once, one head. Queries of another width than the memory pass a linear
        layer without bias first. The weights are returned, so they are formed: multi_head has the fused way.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from foveate.mechanisms.base import mechanisms
from foveate.mechanisms.facets import Facets
from foveate.mechanisms.reading.scores import products
from foveate.mechanisms.reading.soft_read import SoftRead


@mechanisms.register("scaled_dot")
class ScaledDotRead(SoftRead):
    """Read a memory by scaled dot products with the query.

    Args:
        channels: D of the memory's entries.
        query: Q of the queries; None takes ``channels``. Others pass through a linear layer
            without bias first.
        context_gate: "none", or a gate on the context that the query opens: "scalar" or "vector".

    Example:
        >>> import torch
        >>> context, weights = ScaledDotRead(64)(torch.rand(2, 3, 64), torch.rand(2, 49, 64))
        >>> context.shape, weights.shape
        (torch.Size([2, 3, 64]), torch.Size([2, 3, 49]))
    """

    facets = Facets(
        over=("positions", "steps"), driven_by="query", weighting="soft", sites=("pool", "output")
    )
    variants = {"query": 24, "context_gate": "scalar"}

    def __init__(self, channels: int, *, query: int | None = None, context_gate: str = "none") -> None:
        super().__init__(channels, query, context_gate, match=True)

    def score(self, query: Float[Tensor, "b t q"], keys: Float[Tensor, "b n k"]) -> Float[Tensor, "b t n"]:
        """Return q . m / sqrt(D)."""
        return products(self.matching(query) * self.channels**-0.5, keys)

    def score_cost(self, entries: int) -> tuple[int, int]:
        """Return the closed form of the header, without the context's."""
        return 0, entries * self.channels
