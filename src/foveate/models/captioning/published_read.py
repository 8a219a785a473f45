"""The additive attention of two published captioners, which the mechanism ``additive`` does not have.

Formula e_j = v . f(W q + k_j) + c; k_j = U m_j + b, then L - 1 times k <- tanh(U_l k + b_l); f: tanh or relu
Paper   Xu et al. Show, Attend and Tell. ICML 2015. arXiv:1502.03044, in the authors' code (tanh; L = 2 for
        COCO) and in a popular PyTorch tutorial (relu; a bias of W; L = 1).
Shapes  query (B, T, Q), memory (B, N, D) -> context (B, T, D), weights (B, T, N), rows sum to 1
Cost    with n = hidden: parameters n*(Q + D + 2) + (L - 1)*n*(n + 1) + 1, + n with a bias of W; the gate's
        Q + 1, or D*(Q + 1) for a vector.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.facets import Facets
from foveate.mechanisms.precision import exact_linear
from foveate.mechanisms.reading.soft_read import SoftRead
from foveate.options import whole


class PublishedRead(SoftRead):
    """Read the places of a picture by a small network.

    Args:
        channels: D of the places.
        query: Q of the state.
        hidden: n of the network.
        layers: L, how many make a place's key.
        relu: Whether f is relu, and W has a bias; tanh and none if False.
        context_gate: "none", "scalar" or "vector".
    """

    facets = Facets(
        over=("positions", "steps"), driven_by="query", weighting="soft", sites=("pool", "output")
    )

    def __init__(
        self, channels: int, *, query: int, hidden: int, layers: int, relu: bool, context_gate: str
    ) -> None:
        super().__init__(channels, query, context_gate)
        self.hidden, self.relu = whole("hidden", hidden), relu
        self.of_place = nn.Linear(channels, hidden)
        more = whole("attention_layers", layers) - 1
        self.deeper = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(more))
        self.of_state = nn.Linear(query, hidden, bias=relu)
        self.energy = nn.Linear(hidden, 1)

    def keys(self, memory: Float[Tensor, "b n d"]) -> Float[Tensor, "b n k"]:
        """Return k."""
        keys = exact_linear(self.of_place, memory)
        for layer in self.deeper:
            keys = exact_linear(layer, keys).tanh()  # type: ignore[arg-type]
        return keys

    def score(self, query: Float[Tensor, "b t q"], keys: Float[Tensor, "b n k"]) -> Float[Tensor, "b t n"]:
        """Return e."""
        summed = exact_linear(self.of_state, query).unsqueeze(2) + keys.unsqueeze(1)
        return exact_linear(self.energy, summed.relu() if self.relu else summed.tanh()).squeeze(3)

    def score_cost(self, entries: int) -> tuple[int, int]:
        """Return the closed form of the header, without the gate's, and the MACs of one query."""
        n, more = self.hidden, len(self.deeper)
        parameters = n * (self.query_channels + self.channels + 2 + self.relu) + more * n * (n + 1) + 1
        return parameters, n * self.query_channels + entries * n * (self.channels + more * n + 1)
