"""Class weights that compensate for classes with few pixels.

Formula n_c pixels of class c, N of all, f_c = n_c / N, K classes that have any:
        inverse           w_c = N / (K n_c), so that all classes weigh the same in sum
        median_frequency  w_c = median_k g_k / g_c, g_c = n_c / pixels of the images that have class c
        effective         w_c ~ (1 - b) / (1 - b^n_c), b = beta, scaled to a mean of 1
        log               w_c = 1 / ln(1.02 + f_c), from 1.42 to 50.5
Paper   median_frequency: Eigen, Fergus. Predicting Depth, Surface Normals and Semantic Labels. ICCV 2015,
        section 4.3. effective: Cui et al. Class-Balanced Loss Based on Effective Number of Samples. CVPR
        2019, equation 2. log: Paszke et al. ENet. 2016. arXiv:1606.02147, section 5.
Absent  a class without pixels gets weight 0: it is never true, and losses over classes leave it out.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from foveate.errors import DataError, OptionError
from foveate.options import one_of

METHODS = ("inverse", "median_frequency", "effective", "log")


def class_weights(
    pixel_counts: Shaped[Tensor, "*n k"] | Shaped[np.ndarray, "*n k"],
    method: str = "inverse",
    *,
    beta: float = 0.999999,
) -> Float[Tensor, " k"]:
    """Return one weight a class, float32, from the number of pixels of each.

    Args:
        pixel_counts: Pixels of each class (K,), or of each class in each image (N, K), which only
            "median_frequency" distinguishes.
        method: "inverse", "median_frequency", "effective" or "log".
        beta: For "effective": classes of many more than 1 / (1 - beta) pixels weigh the same, in [0, 1).

    Raises:
        OptionError: There is no such method, or ``beta`` is not in [0, 1).
        DataError: The counts are not (K,) or (N, K), are negative, or all 0.

    Example:
        >>> class_weights(torch.tensor([90, 10]))
        tensor([0.5556, 5.0000])
    """
    one_of("method", method, METHODS)
    if not 0 <= beta < 1:
        raise OptionError(f"beta: got {beta!r}, expected a number from 0 to below 1")
    counts = torch.as_tensor(pixel_counts).double()
    if counts.ndim not in (1, 2) or not (counts >= 0).all() or not counts.sum() > 0:
        raise DataError(
            f"got pixel counts {counts.tolist()} of shape {tuple(counts.shape)}, expected (K,) or (N, K), "
            "none below 0 and not all 0. Count the pixels of the masks, for example with numpy.bincount."
        )
    images = counts.reshape(-1, counts.shape[-1])
    n = images.sum(dim=0)
    there = n > 0
    if method == "inverse":
        weights = n.sum() / (there.sum() * n)
    elif method == "median_frequency":
        seen = ((images > 0) * images.sum(dim=1, keepdim=True)).sum(dim=0)
        g = n / seen
        weights = torch.from_numpy(np.asarray(np.median(g[there].numpy()))) / g
    elif method == "effective":
        weights = (1 - beta) / -torch.expm1(n * np.log(beta)) if beta > 0 else torch.ones_like(n)
        weights = weights / weights[there].mean()
    else:
        weights = 1 / torch.log(1.02 + n / n.sum())
    return weights.where(there, 0.0).float()
