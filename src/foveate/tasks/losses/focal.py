"""Focal loss: cross-entropy that down-weights pixels that are already classified well.

Formula L = sum_i w_i a_i (1 - p_i)^gamma (-log p_i) / sum_i w_i, p_i the probability of pixel i's class, w_i
        its class weight, a_i = alpha for classes other than 0, 1 - alpha for class 0; 1 without alpha.
Paper   Lin, Goyal, Girshick, He, Dollar. Focal Loss for Dense Object Detection. ICCV 2017, equation 5.
Differs the paper has one sigmoid a class and divides by the number of matched boxes; here softmax and the
        mean over pixels. For two classes the terms are the paper's.
Absent  a class without pixels adds nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from foveate.options import between
from foveate.tasks.losses.loss import PixelLoss, losses, pixel_losses, weighted_mean


@losses.register("focal")
@dataclass(frozen=True)
class Focal(PixelLoss):
    """Mean focal loss over the known pixels, in nats.

    Args:
        gamma: How strongly well-classified pixels are down-weighted; 0 gives cross-entropy. Paper: 2.
        alpha: Weight of objects, 1 - alpha being that of the background, class 0, in [0, 1]; None weights
            them equally. Paper: 0.25.

    Raises:
        OptionError: An option has an impossible value.

    Example:
        >>> Focal()(torch.zeros(1, 2, 3, 3), torch.ones(1, 3, 3, dtype=torch.long))
        tensor(0.1733)
    """

    gamma: float = 2.0
    alpha: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        between("gamma", self.gamma, 0)
        if self.alpha is not None:
            between("alpha", self.alpha, 0, 1)

    def of(
        self,
        logits: Float[Tensor, "b k *s"],
        targets: Int64[Tensor, " b *s"],
        class_weights: Float[Tensor, " k"] | None,
    ) -> Float[Tensor, ""]:
        """Return the mean over the known pixels."""
        loss = pixel_losses(logits, targets)
        # Bounded off 0, where a power below 1 has no gradient; the loss is 0 there.
        wrong = -torch.expm1(-loss).clamp(max=-torch.finfo(loss.dtype).tiny)
        loss = wrong.pow(self.gamma) * loss
        if self.alpha is not None:
            loss = loss * torch.where(targets == 0, 1 - self.alpha, self.alpha)
        return weighted_mean(loss, targets, class_weights)
