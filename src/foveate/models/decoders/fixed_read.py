"""What a decoder without attention reads: the same at every step, whatever its state."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from foveate.mechanisms.reading.scores import readable
from foveate.options import one_of


class FixedRead(nn.Module):
    """Read the mean of a memory, or its last entry.

    Args:
        of: "mean" or "last".

    Raises:
        OptionError: ``of`` is neither.

    Example:
        >>> context, weights = FixedRead("last")(torch.zeros(1, 2, 8), torch.ones(1, 3, 4))
        >>> weights.tolist()
        [[[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]]
    """

    def __init__(self, of: str = "mean") -> None:
        super().__init__()
        one_of("of", of, ("mean", "last"))
        self.of = of

    def forward(
        self,
        query: Float[Tensor, "b t q"],
        memory: Float[Tensor, "b n d"],
        mask: Bool[Tensor, "b n"] | None = None,
    ) -> tuple[Float[Tensor, "b t d"], Float[Tensor, "b t n"]]:
        """Return what is read at each step, and the weights; of the query only the number of steps counts."""
        there = memory.new_ones(memory.shape[:2]) if mask is None else mask.to(memory.dtype)
        if self.of == "last":
            ahead = there.flip(1).cumsum(dim=1).flip(1)  # entries from here to the end
            there = there * (ahead == 1)
        weights = there / there.sum(dim=1, keepdim=True).clamp_min(1)
        weights = weights.unsqueeze(1).expand(-1, query.shape[1], -1)
        return torch.bmm(weights, readable(memory, mask)), weights
