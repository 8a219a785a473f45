"""Gradient-weighted attention, multiplied over layers (Chefer et al., CVPR), without layer-wise relevance.

    E_l = mean over heads of relu(dA_l A_l),    C = (I + E_L) ... (I + E_start)
    map = row of C that the target reads

Paper   Chefer, Gur, Wolf. Transformer Interpretability Beyond Attention Visualization. CVPR 2021.
        arXiv:2012.09838, eq. 13 and 14.
Differs from the paper: the weights A stand for their relevance by layer-wise propagation, which needs rules
        for every operation of a model. With ``start=0`` and without ``normalise`` the map then equals that of
        ``generic_attention``. The authors' code starts at layer 0 in its demonstration and at 1 in its
        evaluation, and has the division of rows commented out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from foveate.explain.methods.attention_chain import ChainMethod, positive_part
from foveate.explain.methods.explanation import explanations
from foveate.options import whole


@explanations.register("transformer_attribution")
@dataclass(frozen=True)
class TransformerAttribution(ChainMethod):
    """Product over layers of what is positive of gradient times attention.

    Args:
        start: The first layer, from 0.
        normalise: Whether to divide the rows of I + E by their sum.
    """

    paper: ClassVar[str] = "Chefer et al. 2021 (CVPR)"
    signed: ClassVar[bool] = False
    start: int = 1
    normalise: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("start", self.start, 0)

    @property
    def first(self) -> int:
        """The first layer, from 0."""
        return self.start

    def of_layer(
        self, weights: Float[Tensor, "*b k n m"], gradients: Float[Tensor, "*b k n m"]
    ) -> Float[Tensor, "*b n m"]:
        """Return E."""
        return positive_part(weights, gradients)

    def step(self, rows: Float[Tensor, "b n"], matrix: Float[Tensor, "b n n"]) -> Float[Tensor, "b n"]:
        """Return rows of the product: rows times (I + E)."""
        if self.normalise:
            rows = rows / (matrix.sum(dim=2) + 1)
        return rows + rows.unsqueeze(1).bmm(matrix).squeeze(1)
