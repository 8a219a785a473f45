"""Cosine reading: an entry counts by the angle between it and the query, not by their lengths.

Formula c = sum_j a_j m_j, a = softmax_j(tau * q . m_j / (|q| |m_j|)), tau learned
Paper   Graves, Wayne, Danihelka. Neural Turing Machines. 2014. arXiv:1410.5401, section 3.3.1.
Shapes  query (B, T, Q), memory (B, N, D), mask (B, N) -> context (B, T, D), weights (B, T, N); map (B, T, N),
        rows sum to 1 over what may be read.
Cost    parameters 1; MACs of one query 2*N*D; with Q != D both Q*D more.
Differs the paper's machine computes tau (its beta) from its state; here it is one learned number. A vector of
        zeros has cosine 0 with everything. Queries of another width pass through a linear layer without bias
        first.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import mechanisms
from foveate.mechanisms.facets import Facets
from foveate.mechanisms.precision import widen
from foveate.mechanisms.reading.scores import products
from foveate.mechanisms.reading.soft_read import SoftRead


@mechanisms.register("cosine")
class CosineRead(SoftRead):
    """Read a memory by the cosine of query and entry.

    Args:
        channels: D of the memory's entries.
        query: Q of the queries; None takes ``channels``. Others pass through a linear layer
            without bias first.
        tau: What the cosines are multiplied by at the start: a softmax of numbers in [-1, 1] is near uniform.
        context_gate: "none", or a gate on the context that the query opens: "scalar" or "vector".

    Example:
        >>> import torch
        >>> context, weights = CosineRead(64)(torch.rand(2, 3, 64), torch.rand(2, 49, 64))
        >>> context.shape, weights.shape
        (torch.Size([2, 3, 64]), torch.Size([2, 3, 49]))
    """

    facets = Facets(
        over=("positions", "steps"), driven_by="query", weighting="soft", sites=("pool", "output")
    )
    variants = {"query": 24, "tau": 3.0, "context_gate": "scalar"}

    def __init__(
        self, channels: int, *, query: int | None = None, tau: float = 5.0, context_gate: str = "none"
    ) -> None:
        super().__init__(channels, query, context_gate, match=True)
        self.tau = nn.Parameter(torch.tensor(float(tau)))

    def keys(self, memory: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Return the entries, brought to length 1."""
        return _unit(widen(memory))

    def score(self, query: Float[Tensor, "b t q"], keys: Float[Tensor, "b n k"]) -> Float[Tensor, "b t n"]:
        """Return tau times the cosine."""
        return products(_unit(self.matching(query)) * self.tau, keys)

    def score_cost(self, entries: int) -> tuple[int, int]:
        """Return the closed form of the header, without the context's."""
        return 1, entries * self.channels


def _unit(x: Tensor) -> Tensor:
    """Return vectors of length 1; zeros stay zeros, with a finite gradient."""
    length = x.norm(dim=-1, keepdim=True)
    return x / (length + (length == 0))
