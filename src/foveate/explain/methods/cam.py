"""What class activation maps share: a map is made from what a layer returned, and laid over the image."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from foveate.explain.methods.explanation import Explanation, Reads
from foveate.explain.question import Question


@dataclass(frozen=True)
class ActivationMap(Explanation):
    """A class activation map; those of several layers are added on the image's grid."""

    reads: ClassVar[Reads] = "layer"
    signed: ClassVar[bool] = False

    def __call__(self, question: Question) -> Tensor:
        """Return the maps (B, H, W)."""
        maps = question.layer_maps()
        return torch.stack([question.on_image(self.combine(m.activations, m.gradients)) for m in maps]).sum(0)

    @abstractmethod
    def combine(
        self, activations: Float[Tensor, "b c h w"], gradients: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "b h w"]:
        """Return the map on the layer's grid.

        Args:
            activations: A, what the layer returned.
            gradients: g = df/dA, of the target's logit f.
        """
