"""The exact Gaussian between all pairs of pixels: for small images, and as the fast filter's reference.

Formula K_ij = exp(-|f_i - f_j|^2 / 2)
Paper   Kraehenbuehl, Koltun. Efficient Inference in Fully Connected CRFs. NeurIPS 2011. arXiv:1210.5644,
        equation 3.
Shapes  features (B, N, d); values (B, L, H, W), N = H * W.
Cost    N^2 numbers an image, N^2 multiply-adds a label.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from foveate.models.crf.operators import Filter, Kernel


def dense(features: Float[Tensor, "b n d"]) -> Kernel:
    """Return the kernel; gradients flow to the values and to the features.

    Args:
        features: One row per pixel, divided by the kernel's standard deviations.
    """
    squared = (features[:, :, None] - features[:, None]).square().sum(dim=-1)
    kernel = torch.exp(-squared / 2)

    def scaled(before: Tensor | None, after: Tensor | None) -> Filter:
        def run(values: Tensor) -> Tensor:
            given = values if before is None else before * values
            found = (given.flatten(2) @ kernel).view_as(values)
            return found if after is None else after * found

        return run

    return scaled
