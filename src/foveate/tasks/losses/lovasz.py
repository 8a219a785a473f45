"""Lovász-softmax: a convex surrogate of the intersection over union, by sorting the pixels' errors.

Formula m_i = |y_ic - p_ic| for class c, sorted to fall; J_k = 1 - (n - n_k) / (n + f_k) the Jaccard loss if
        the first k pixels were wrong, n the pixels of c, n_k and f_k those of it and not of it among these k;
        L_c = sum_k m_k (J_k - J_{k-1}); L = sum_c w_c L_c / sum_c w_c, w the class weights.
Paper   Berman, Rannen Triki, Blaschko. The Lovász-Softmax Loss. CVPR 2018, equations 8, 9 and 11.
Absent  classes="present": a class without true pixels is left out. classes="all": it costs its greatest
        error.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from foveate.data.base import IGNORE
from foveate.mechanisms.options import one_of
from foveate.tasks.losses.base import PixelLoss, losses, mean_over_classes


@losses.register("lovasz")
@dataclass(frozen=True)
class LovaszSoftmax(PixelLoss):
    """Mean over the classes of the Lovász extension of 1 - IoU.

    Args:
        over: "batch" takes the pixels of all images together; "image" the mean of each image's own.
        classes: Those "present" in the truth of the batch, or of the image; or "all".

    Raises:
        OptionError: An option has an impossible value.

    Example:
        >>> LovaszSoftmax()(torch.zeros(1, 2, 1, 2), torch.tensor([[[0, 1]]]))
        tensor(0.5000)
    """

    over: str = "batch"
    classes: str = "present"

    def __post_init__(self) -> None:
        one_of("over", self.over, ("batch", "image"))
        one_of("classes", self.classes, ("present", "all"))

    def of(
        self,
        logits: Float[Tensor, "b k *s"],
        targets: Int64[Tensor, b * s],
        class_weights: Float[Tensor, " k"] | None,
    ) -> Float[Tensor, ""]:
        """Return the mean over the counted classes, and images if each has its own."""
        p = logits.softmax(dim=1).movedim(1, -1)  # b s k
        if self.over == "batch":
            return self._of_pixels(p, targets, class_weights)
        known = [image for image in range(len(targets)) if (targets[image] != IGNORE).any()]
        each = [self._of_pixels(p[image], targets[image], class_weights) for image in known]
        return torch.stack(each).mean() if each else p.sum() * 0

    def _of_pixels(
        self, p: Float[Tensor, "*s k"], targets: Int64[Tensor, "*s"], class_weights: Tensor | None
    ) -> Float[Tensor, ""]:
        known = targets != IGNORE
        p, label = p[known], targets[known]  # n k, n
        found = torch.bincount(label, minlength=p.shape[1]) > 0
        counted = found if self.classes == "present" else torch.full_like(found, bool(len(label)))
        each = [_jaccard(p[:, c], label == c) if there else p.sum() * 0 for c, there in enumerate(counted)]
        return mean_over_classes(torch.stack(each), counted, class_weights)


def _jaccard(p: Float[Tensor, " n"], y: Tensor) -> Float[Tensor, ""]:
    """Return the Lovász extension of the Jaccard loss of one class."""
    error, order = torch.where(y, 1 - p, p).sort(descending=True)
    return error @ jaccard_steps(y[order].to(p.dtype))


def jaccard_steps(y: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return how much the Jaccard loss grows with each pixel that turns wrong, the first of ``y`` first."""
    missed = y.cumsum(0)
    loss = 1 - (missed[-1] - missed) / (missed[-1] + (1 - y).cumsum(0))
    return torch.diff(loss, prepend=loss.new_zeros(1))
