"""Cross-entropy of hard pixels only: online hard example mining.

Formula the mean of the pixels' cross-entropies l_i = -log p_i, weighed by class, over the kept ones:
        rule="loss"         those with l_i > -log threshold; if they are fewer than min_share of the known
                            pixels, that many pixels of the largest losses.
        rule="probability"  those with p_i <= max(threshold, the n-th smallest p), n = min_share of all
                            pixels, known or not; all known ones if there are at most n.
Paper   Shrivastava, Gupta, Girshick. Training Region-based Object Detectors with Online Hard Example Mining.
        CVPR 2016. For pixels, as in two public versions of BiSeNet: "loss" as CoinCheung's, "probability" as
        the authors' (TorchSeg); both with threshold 0.7 and a share of 1/16.
Absent  a class without kept pixels adds nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from foveate.data.class_numbers import IGNORE
from foveate.errors import OptionError
from foveate.options import between, one_of
from foveate.tasks.losses.loss import PixelLoss, losses, pixel_losses, weighted_mean


@losses.register("ohem")
@dataclass(frozen=True)
class HardExamples(PixelLoss):
    """Mean cross-entropy over the pixels that are not yet classified well, in nats.

    Args:
        threshold: Pixels whose class has a probability below it are hard, in (0, 1].
        min_share: Least share of the pixels that is kept, in [0, 1].
        rule: "loss" or "probability": two published definitions; see the module.

    Raises:
        OptionError: An option has an impossible value.

    Example:
        >>> logits = torch.tensor([[[[0.0, 9.0]], [[0.0, 0.0]]]])
        >>> HardExamples()(logits, torch.tensor([[[0, 0]]]))
        tensor(0.6931)
    """

    threshold: float = 0.7
    min_share: float = 0.0625
    rule: str = "loss"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not between("threshold", self.threshold, 0, 1) > 0:
            raise OptionError("threshold: got 0, expected a number above 0, at most 1")
        between("min_share", self.min_share, 0, 1)
        one_of("rule", self.rule, ("loss", "probability"))

    def of(
        self,
        logits: Float[Tensor, "b k *s"],
        targets: Int64[Tensor, " b *s"],
        class_weights: Float[Tensor, " k"] | None,
    ) -> Float[Tensor, ""]:
        """Return the mean over the kept pixels."""
        loss = pixel_losses(logits, targets)
        known = targets != IGNORE
        kept = torch.zeros_like(known)
        kept[known] = self._hard(loss.detach()[known], targets.numel())
        return weighted_mean(loss, targets.where(kept, IGNORE), class_weights)

    def _hard(self, loss: Float[Tensor, " n"], pixels: int) -> Bool[Tensor, " n"]:
        """Return which of the known pixels are kept, of this many known or not."""
        if self.rule == "probability":
            least = int(self.min_share * pixels)
            if least >= len(loss):
                return torch.ones_like(loss, dtype=torch.bool)
            p = (-loss).exp()
            bar = p.kthvalue(least).values.clamp(min=self.threshold) if least else self.threshold
            return p <= bar
        hard = loss > -math.log(self.threshold)
        least = int(self.min_share * len(loss))
        if int(hard.sum()) < least:
            hard = torch.zeros_like(hard)
            hard[loss.topk(least).indices] = True
        return hard
