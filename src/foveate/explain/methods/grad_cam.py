"""Grad-CAM: the layer's channels, weighted by the mean gradient of each.

    w_k = mean over positions of g_k,    map = relu(sum_k w_k A_k)

Paper   Selvaraju et al. Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization.
        ICCV 2017. arXiv:1610.02391, eq. 1 and 2.
Differs from the paper: nothing. For a network that ends in global average pooling and one linear layer it is
        the CAM of Zhou et al. (CVPR 2016), positive part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from foveate.explain.methods.cam import ActivationMap
from foveate.explain.methods.explanation import explanations


@explanations.register("grad_cam")
@dataclass(frozen=True)
class GradCAM(ActivationMap):
    """Channels weighted by their mean gradient."""

    paper: ClassVar[str] = "Selvaraju et al. 2017"

    def combine(
        self, activations: Float[Tensor, "b c h w"], gradients: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "b h w"]:
        """Return the map on the layer's grid."""
        weights = gradients.mean(dim=(2, 3), keepdim=True)
        return (weights * activations).sum(dim=1).relu()
