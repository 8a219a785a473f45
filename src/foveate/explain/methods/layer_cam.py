"""LayerCAM: every position of every channel, weighted by its own gradient where that is positive.

    map = relu(sum_k relu(g_k) A_k)

Paper   Jiang et al. LayerCAM: Exploring Hierarchical Class Activation Maps for Localization. IEEE TIP 2021,
        eq. 5 to 7.
Differs from the paper: maps of several layers are added as they are; the paper scales those of early layers
        to [0, 1] and by tanh, and takes the maximum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from foveate.explain.methods.cam import ActivationMap
from foveate.explain.methods.explanation import explanations


@explanations.register("layer_cam")
@dataclass(frozen=True)
class LayerCAM(ActivationMap):
    """Activation times positive gradient at each position, summed over channels; also for early layers."""

    paper: ClassVar[str] = "Jiang et al. 2021"

    def combine(
        self, activations: Float[Tensor, "b c h w"], gradients: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "b h w"]:
        """Return the map on the layer's grid."""
        return (gradients.relu() * activations).sum(dim=1).relu()
