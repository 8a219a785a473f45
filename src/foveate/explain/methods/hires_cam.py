"""HiResCAM: every position of every channel, weighted by its own gradient.

    map = sum_k g_k A_k

Paper   Draelos, Carin. Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural
        networks. 2020. arXiv:2011.08891, eq. 5.
Differs from the paper: nothing. It has no ReLU, so its values add up to what the layer contributes to the
        logit where only linear layers follow, but for the bias.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from foveate.explain.methods.cam import ActivationMap
from foveate.explain.methods.explanation import explanations


@explanations.register("hires_cam")
@dataclass(frozen=True)
class HiResCAM(ActivationMap):
    """Activation times gradient at each position, summed over channels."""

    paper: ClassVar[str] = "Draelos, Carin 2020"
    signed: ClassVar[bool] = True

    def combine(
        self, activations: Float[Tensor, "b c h w"], gradients: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "b h w"]:
        """Return the map on the layer's grid."""
        return (gradients * activations).sum(dim=1)
