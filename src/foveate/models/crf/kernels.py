"""The two kernels of a dense CRF: position alone, and position with colour; exact, or fast on large images.

Formula k = w1 exp(-|p_i - p_j|^2 / (2 a^2) - |I_i - I_j|^2 / (2 b^2)) + w2 exp(-|p_i - p_j|^2 / (2 g^2)),
        the pixel itself included
Paper   Kraehenbuehl, Koltun. Efficient Inference in Fully Connected CRFs. NeurIPS 2011. arXiv:1210.5644,
        equation 3.
Shapes  images (B, C, H, W), any range of values: ``colour`` is in the same unit.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from foveate.models.crf.dense import dense
from foveate.models.crf.operators import Filter, Normalise, normalised
from foveate.models.crf.permutohedral import FAST, FINE, permutohedral
from foveate.models.crf.spatial import CUT, spatial

Method = Literal["auto", "exact", "fine", "fast"]
METHODS = ("auto", "exact", "fine", "fast")
EXACT = 4096  # pixels up to which "auto" is exact: 64 MiB a kernel and image in float32


def gaussian(
    images: Float[Tensor, "b c h w"],
    std: float,
    *,
    method: Method = "auto",
    normalise: Normalise = "symmetric",
) -> Filter:
    """Return the kernel of position.

    Args:
        images: (B, C, H, W), for size, type and device.
        std: g, in pixels.
        method: ``exact`` reaches over the whole image, the others stop after 4 standard deviations.
        normalise: How it is normalised; see ``normalised``.
    """
    return spatial(images, (std, std), None if _exact(images, method) else CUT, normalise)


def bilateral(
    images: Float[Tensor, "b c h w"],
    std: float,
    colour: float,
    *,
    method: Method = "auto",
    normalise: Normalise = "symmetric",
) -> Filter:
    """Return the kernel of position and colour.

    Args:
        images: The pictures.
        std: a, in pixels.
        colour: b, in the unit of the images.
        method: ``exact`` for all pairs of pixels; ``fine`` and ``fast`` for lattices, through which no
            gradient flows to the images.
        normalise: How it is normalised; see ``normalised``.
    """
    height, width = images.shape[2:]
    rows, columns = torch.meshgrid(
        torch.arange(height, device=images.device, dtype=images.dtype),
        torch.arange(width, device=images.device, dtype=images.dtype),
        indexing="ij",
    )
    place = torch.stack([rows, columns]).expand(len(images), -1, -1, -1) / std
    features = torch.cat([place, images / colour], dim=1).flatten(2).transpose(1, 2)
    if _exact(images, method):
        kernel = dense(features)
    else:
        kernel = permutohedral(features, FAST if method == "fast" else FINE)
    return normalised(kernel, torch.ones_like(images[:, :1]), normalise)


def _exact(images: Tensor, method: Method) -> bool:
    return method == "exact" or (method == "auto" and images.shape[2] * images.shape[3] <= EXACT)
