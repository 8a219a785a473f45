"""Eigen-CAM: the direction in which a layer's channels vary most over positions; it knows no target.

    X = A as (h*w, C), every channel minus its mean,    map = X v, v the first right singular vector of X

Paper   Muhammad, Yeasin. Eigen-CAM: Class Activation Map using Principal Components. IJCNN 2020.
        arXiv:2008.00299.
Differs from the paper: the channels are centred, and the sign, which the decomposition leaves open, is chosen
        so that the largest absolute value is positive. A sign left to chance inverts some maps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from foveate.explain.methods.explanation import Explanation, Reads, explanations
from foveate.explain.question import Question


@explanations.register("eigen_cam")
@dataclass(frozen=True)
class EigenCAM(Explanation):
    """First principal component of the layer's channels, whatever the target."""

    paper: ClassVar[str] = "Muhammad, Yeasin 2020"
    reads: ClassVar[Reads] = "layer"
    signed: ClassVar[bool] = True

    def __call__(self, question: Question) -> Tensor:
        """Return the maps (B, H, W)."""
        found = question.activations()
        return torch.stack([question.on_image(first_component(a)) for _, a in found]).sum(0)


def first_component(activations: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
    """Return each position's place along the first principal component of the channels."""
    x = activations.flatten(2).transpose(1, 2)  # b n c
    x = x - x.mean(dim=1, keepdim=True)
    _, _, v = torch.linalg.svd(x, full_matrices=False)
    place = (x @ v[:, 0].unsqueeze(2)).squeeze(2)  # b n
    low, high = place.aminmax(dim=1, keepdim=True)
    return torch.where(-low > high, -place, place).unflatten(1, activations.shape[2:])
