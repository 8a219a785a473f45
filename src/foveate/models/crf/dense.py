"""The Gaussian between all pairs of pixels, exactly: for small images, and as the measure of the fast filter.

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

from foveate.models.crf.operators import Filter


def dense(features: Float[Tensor, "b n d"]) -> Filter:
    """Return the filter; gradients flow to the values and to the features.

    Args:
        features: A row a pixel, divided by the kernel's standard deviations.
    """
    squared = (features[:, :, None] - features[:, None]).square().sum(dim=-1)
    kernel = torch.exp(-squared / 2)
    return lambda values: (values.flatten(2) @ kernel).view_as(values)
