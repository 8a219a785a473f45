"""Raw attention: what the last layer's tokens attend to; it knows no target.

    map = row of A_L that the target reads, mean over heads or one head

Paper   Dosovitskiy et al. An Image is Worth 16x16 Words. ICLR 2021. arXiv:2010.11929, section 4.5, among
        many.
Differs from the paper: nothing. Attention weights need not agree with what changes the prediction: judge
        them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from foveate.errors import OptionError
from foveate.explain.methods.attention_chain import ChainMethod
from foveate.explain.methods.explanation import explanations


@explanations.register("raw_attention")
@dataclass(frozen=True)
class RawAttention(ChainMethod):
    """Attention of the last layer, or of the layer that is named.

    Args:
        head: One head, from 0; None for the mean.
    """

    paper: ClassVar[str] = "Dosovitskiy et al. 2021"
    signed: ClassVar[bool] = False
    one_layer: ClassVar[bool] = True
    head: int | None = None

    def of_layer(
        self, weights: Float[Tensor, "*b k n m"], gradients: Float[Tensor, "*b k n m"]
    ) -> Float[Tensor, "*b n m"]:
        """Return one head or the mean."""
        if self.head is None:
            return weights.mean(dim=-3)
        if not 0 <= self.head < weights.shape[-3]:
            raise OptionError(f"head: got {self.head}, expected 0 to {weights.shape[-3] - 1}")
        return weights.select(-3, self.head)

    def step(self, rows: Float[Tensor, "b n"], matrix: Float[Tensor, "b n n"]) -> Float[Tensor, "b n"]:
        """Return the rows of A."""
        return rows.unsqueeze(1).bmm(matrix).squeeze(1)
