"""Grad-CAM++: the layer's channels, weighted by their positive gradients, each position by its own share.

    alpha_kij = g^2 / (2 g^2 + S_k g^3) = 1 / (2 + S_k g),    S_k = sum of A_k,    0 where g = 0
    w_k = sum_ij alpha_kij relu(g_kij),    map = relu(sum_k w_k A_k)

Paper   Chattopadhay et al. Grad-CAM++: Generalized Gradient-based Visual Explanations for Deep Convolutional
        Networks. WACV 2018. arXiv:1710.11063, eq. 5 and 19.
Differs from the paper: the gradient is that of the logit f, not of exp(f); the factor exp(f) that this leaves
        out of w is the same for a whole image. The sum S_k is over A alone: copies of this method that sum
        A g^3 compute something else, and so do those that add a constant to the denominator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from foveate.explain.methods.cam import ActivationMap
from foveate.explain.methods.explanation import explanations


@explanations.register("grad_cam_pp")
@dataclass(frozen=True)
class GradCAMPlusPlus(ActivationMap):
    """Channels weighted by their positive gradients, higher where few positions have one."""

    paper: ClassVar[str] = "Chattopadhay et al. 2018"

    def combine(
        self, activations: Float[Tensor, "b c h w"], gradients: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "b h w"]:
        """Return the map on the layer's grid."""
        denominator = 2 + activations.sum(dim=(2, 3), keepdim=True) * gradients
        positive = gradients.relu()
        shares = torch.where((positive > 0) & (denominator != 0), positive / denominator, 0)
        weights = shares.sum(dim=(2, 3), keepdim=True)
        return (weights * activations).sum(dim=1).relu()
