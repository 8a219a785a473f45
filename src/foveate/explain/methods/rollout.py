"""Attention rollout: the attention of all layers and their skip connections, multiplied; it has no target.

    A'_l = rows of (A_l + I) divided by their sum,    R = A'_L ... A'_1
    map = row of R that the target reads

A_l is the mean over heads. With ``fuse`` and ``discard`` it is the variant that vit-explain popularised: the
maximum or minimum over heads, and the lowest share of all entries set to 0, but for the first.

Paper   Abnar, Zuidema. Quantifying Attention Flow in Transformers. ACL 2020. arXiv:2005.00928, section 3.
Differs from the paper: where a model reads the mean of its tokens, so does the map; windows are put in their
        places in one matrix; between layers of different grids, a token is the mean of those it was merged
        from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from foveate.errors import OptionError
from foveate.explain.methods.attention_chain import ChainMethod
from foveate.explain.methods.explanation import explanations
from foveate.options import whole

Fuse = Literal["mean", "max", "min"]


@explanations.register("rollout")
@dataclass(frozen=True)
class Rollout(ChainMethod):
    """Product of the attention of all layers.

    Args:
        fuse: How heads become one matrix.
        discard: Share of the entries of each matrix that are set to 0, the lowest, in [0, 1). Paper: 0.
        start: The first layer, from 0.
    """

    paper: ClassVar[str] = "Abnar, Zuidema 2020"
    signed: ClassVar[bool] = False
    fuse: Fuse = "mean"
    discard: float = 0.0
    start: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("start", self.start, 0)
        if not 0 <= self.discard < 1:
            raise OptionError(f"discard: got {self.discard}, expected a share of at least 0 and below 1")

    @property
    def first(self) -> int:
        """The first layer, from 0."""
        return self.start

    def of_layer(
        self, weights: Float[Tensor, "*b k n m"], gradients: Float[Tensor, "*b k n m"]
    ) -> Float[Tensor, "*b n m"]:
        """Return the heads as one matrix."""
        return fused(weights, self.fuse)

    def step(self, rows: Float[Tensor, "b n"], matrix: Float[Tensor, "b n n"]) -> Float[Tensor, "b n"]:
        """Return the rows of the product: rows times (A + I) with rows divided by their sum."""
        if self.discard:
            matrix = without_lowest(matrix, self.discard)
        rows = rows / (matrix.sum(dim=2) + 1)
        return rows + rows.unsqueeze(1).bmm(matrix).squeeze(1)


def fused(weights: Float[Tensor, "*b k n m"], fuse: Fuse) -> Float[Tensor, "*b n m"]:
    """Return the mean, maximum or minimum over heads."""
    if fuse == "mean":
        return weights.mean(dim=-3)
    return weights.amax(dim=-3) if fuse == "max" else weights.amin(dim=-3)


def without_lowest(matrix: Float[Tensor, "b n m"], share: float) -> Float[Tensor, "b n m"]:
    """Return matrices with the lowest share of entries set to 0, never the first one."""
    flat = matrix.flatten(1)
    lowest = flat.topk(int(share * flat.shape[1]), dim=1, largest=False).indices
    kept = torch.ones_like(flat).scatter_(1, lowest, 0)
    kept[:, 0] = 1
    return (flat * kept).view_as(matrix)
