"""The small network by which additive and hard reads score entries for queries."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.kernels.scored_tanh import tanh_of_sum
from foveate.mechanisms.precision import exact_linear


class AdditiveScore(nn.Module):
    """Score entries for queries by v . tanh(W q + U m + b).

    Args:
        query: Q of the queries.
        memory: D of the memory's entries.
        hidden: Width of the small network.
        bias: Whether it has b.
    """

    def __init__(self, query: int, memory: int, hidden: int, bias: bool) -> None:
        super().__init__()
        self.query = nn.Linear(query, hidden, bias=False)
        self.key = nn.Linear(memory, hidden, bias=bias)
        self.energy = nn.Linear(hidden, 1, bias=False)  # a bias would shift all scores alike
        self.parameters_in_all = hidden * (query + memory + 1 + bias)

    def forward(
        self, query: Float[Tensor, "b t q"], memory: Float[Tensor, "b n d"]
    ) -> Float[Tensor, "b t n"]:
        """Return one score for every query and entry."""
        return self.of_keys(query, self.keys(memory))

    def keys(self, memory: Float[Tensor, "b n d"]) -> Float[Tensor, "b n h"]:
        """Return U m + b, which no query changes."""
        return exact_linear(self.key, memory)

    def of_keys(self, query: Float[Tensor, "b t q"], keys: Float[Tensor, "b n h"]) -> Float[Tensor, "b t n"]:
        """Return the scores of a memory by its keys."""
        asked = exact_linear(self.query, query)
        return exact_linear(self.energy, tanh_of_sum(asked, keys)).squeeze(3)

    def cost(self, entries: int) -> tuple[int, int]:
        """Return the parameters, and the multiply-adds for one query of that many entries."""
        asked, held = self.query.weight.numel(), self.key.weight.numel()
        return self.parameters_in_all, asked + entries * (held + self.energy.in_features)
