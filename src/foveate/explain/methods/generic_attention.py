"""Gradient-weighted attention, as the relevance of tokens that each layer passes on (Chefer et al., ICCV).

    E_l = mean over heads of relu(dA_l A_l),    R <- R + E_l R from the first layer on, R = I before it
    map = row of R that the target reads

dA is the gradient of the target's logit by the weights A. For self-attention alone this R is the product of
(I + E_l), as in ``transformer_attribution``.

Paper   Chefer, Gur, Wolf. Generic Attention-model Explainability for Interpreting Bi-Modal and
        Encoder-Decoder Transformers. ICCV 2021. arXiv:2103.15679, eq. 5 and 6.
Differs from the paper: where a model reads the mean of its tokens, so does the map; cross-attention is
        followed from its keys on (eq. 10 without the queries' own relevance).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from foveate.explain.methods.attention_chain import ChainMethod, positive_part
from foveate.explain.methods.explanation import explanations


@explanations.register("generic_attention")
@dataclass(frozen=True)
class GenericAttention(ChainMethod):
    """Relevance that attention passes on, weighted by gradients."""

    paper: ClassVar[str] = "Chefer et al. 2021 (ICCV)"
    signed: ClassVar[bool] = False

    def of_layer(
        self, weights: Float[Tensor, "*b k n m"], gradients: Float[Tensor, "*b k n m"]
    ) -> Float[Tensor, "*b n m"]:
        """Return E."""
        return positive_part(weights, gradients)

    def step(self, rows: Float[Tensor, "b n"], matrix: Float[Tensor, "b n n"]) -> Float[Tensor, "b n"]:
        """Return rows of R + E R, read from the last layer on: rows times (I + E)."""
        return rows + rows.unsqueeze(1).bmm(matrix).squeeze(1)
