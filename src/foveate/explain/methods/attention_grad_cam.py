"""Grad-CAM of attention: the last layer's heads, weighted by their mean gradient.

    w_h = mean over positions m of dA_h[read, m],    map = relu(mean over heads of w_h A_h[read, m])

Paper   The baseline "GradCAM" of Chefer, Gur, Wolf. CVPR 2021. arXiv:2012.09838, section 4.
Differs from the paper: where a model reads the mean of its tokens, A and dA are means over their rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from foveate.explain.methods.attention_chain import AttentionMethod, Chain, Link
from foveate.explain.methods.explanation import explanations


@explanations.register("attention_grad_cam")
@dataclass(frozen=True)
class AttentionGradCAM(AttentionMethod):
    """Heads of the last layer, or of the layer that is named, weighted by their mean gradient."""

    paper: ClassVar[str] = "Chefer et al. 2021 (CVPR), baseline"
    signed: ClassVar[bool] = False
    one_layer: ClassVar[bool] = True

    def combine(self, chain: Chain) -> tuple[Float[Tensor, "b n"], Link]:
        """Return the map over the layer's positions."""
        link = chain.links[-1]
        weights, gradients = (
            (chain.rows[:, None, None] @ link.matrix(values)).squeeze(2)
            for values in (link.weights, link.gradients)
        )
        return weighted_heads(weights, gradients, link.grid.prefix), link


def weighted_heads(
    weights: Float[Tensor, "b k n"], gradients: Float[Tensor, "b k n"], prefix: int
) -> Float[Tensor, "b n"]:
    """Return heads weighted by their mean gradient over positions, without the tokens in front of these."""
    means = gradients[..., prefix:].mean(dim=2, keepdim=True)
    return (means * weights).mean(dim=1).relu()
