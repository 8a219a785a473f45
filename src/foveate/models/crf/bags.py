"""Sparse matrices as sums of bags of rows: PyTorch's own kernels, on the CPU and on a GPU.

Formula y_i = sum over the bag of i of w x_j
Shapes  values (columns, L) -> (rows, L).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag

from foveate.models.crf import backend


@dataclass(frozen=True)
class Bags:
    """A sparse matrix by rows.

    Attributes:
        starts: Where the bag of each row begins, and where the last one ends.
        index: The columns in the bags.
        weights: The entries in these columns.
        columns: How many there are.
    """

    starts: Int[Tensor, " rows1"]
    index: Int[Tensor, " entries"]
    weights: Float[Tensor, " entries"]
    columns: int

    def __call__(self, values: Float[Tensor, "columns l"]) -> Float[Tensor, "rows l"]:
        """Return the product with ``values``."""
        return embedding_bag(
            self.index,
            values,
            self.starts,
            mode="sum",
            per_sample_weights=self.weights,
            include_last_offset=True,
        )

    def turned(self) -> Bags:
        """Return the transpose."""
        counts = torch.bincount(self.index, minlength=self.columns)
        starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)]).int()
        if (fast := backend.fast_for(self.weights)) is None:
            order = torch.argsort(self.index, stable=True)
            return Bags(starts, self._rows()[order], self.weights[order], len(self.starts) - 1)
        index, weights = torch.empty_like(self.index), torch.empty_like(self.weights)
        given = (self.starts, self.index, self.weights, starts, index, weights)
        fast.turned(*(each.numpy() for each in given))
        return Bags(starts, index, weights, len(self.starts) - 1)

    def scaled(
        self, before: Float[Tensor, " columns"] | None = None, after: Float[Tensor, " rows"] | None = None
    ) -> Bags:
        """Return the matrix with its columns multiplied by ``before`` and its rows by ``after``."""
        weights = self.weights if before is None else self.weights * before[self.index]
        return replace(self, weights=weights if after is None else weights * after[self._rows()])

    def _rows(self) -> Int[Tensor, " entries"]:
        count = len(self.starts) - 1
        each = torch.arange(count, dtype=self.index.dtype, device=self.index.device)
        return each.repeat_interleave(self.starts.diff(), output_size=len(self.index))
