"""XGrad-CAM: the layer's channels, weighted by the mean of their gradients where the channel is active.

    w_k = sum over positions of g_k A_k / sum over positions of A_k,    map = relu(sum_k w_k A_k)

Paper   Fu et al. Axiom-based Grad-CAM: Towards Accurate Visualization and Explanation of CNNs. BMVC 2020.
        arXiv:2008.02312, eq. 10.
Differs from the paper: a channel whose values add up to 0 has weight 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from foveate.explain.methods.cam import ActivationMap
from foveate.explain.methods.explanation import explanations


@explanations.register("x_grad_cam")
@dataclass(frozen=True)
class XGradCAM(ActivationMap):
    """Channels weighted by their gradients where they are active."""

    paper: ClassVar[str] = "Fu et al. 2020"

    def combine(
        self, activations: Float[Tensor, "b c h w"], gradients: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "b h w"]:
        """Return the map on the layer's grid."""
        total = activations.sum(dim=(2, 3), keepdim=True)
        found = (gradients * activations).sum(dim=(2, 3), keepdim=True)
        weights = torch.where(total == 0, 0, found / total)
        return (weights * activations).sum(dim=1).relu()
