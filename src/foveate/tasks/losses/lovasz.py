"""Lovász-softmax: a convex surrogate of the intersection over union, by sorting the pixels' errors.

Formula m_i = |y_ic - p_ic| for class c, in descending order; J_k = 1 - (n - n_k) / (n + f_k) the Jaccard loss
        if the first k pixels were wrong, n the pixels of c, n_k and f_k those in and not in c among these k;
        L_c = sum_k m_k (J_k - J_{k-1}); L = sum_c w_c L_c / sum_c w_c, w the class weights.
Paper   Berman, Rannen Triki, Blaschko. The Lovász-Softmax Loss. CVPR 2018, equations 8, 9 and 11.
Absent  classes="present": a class without true pixels is left out. classes="all": it costs its largest
        error.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from foveate.data.class_numbers import IGNORE
from foveate.options import one_of
from foveate.tasks.losses.loss import PixelLoss, losses, mean_over_classes, one_hot


@losses.register("lovasz")
@dataclass(frozen=True)
class LovaszSoftmax(PixelLoss):
    """Mean over the classes of the Lovász extension of 1 - IoU.

    Args:
        over: "batch" takes the pixels of all images together; "image" averages the images' own values.
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
        super().__post_init__()
        one_of("over", self.over, ("batch", "image"))
        one_of("classes", self.classes, ("present", "all"))

    def of(
        self,
        logits: Float[Tensor, "b k *s"],
        targets: Int64[Tensor, " b *s"],
        class_weights: Float[Tensor, " k"] | None,
    ) -> Float[Tensor, ""]:
        """Return the mean over the counted classes; with over="image" over classes and images."""
        p, y = logits.softmax(dim=1), one_hot(targets, logits)
        known = (targets != IGNORE).unsqueeze(1)
        # An error of 0 sorts last and adds nothing, as if the pixel did not exist.
        errors = torch.where(y > 0, 1 - p, p).where(known, 0.0)
        if self.over == "image":
            errors, y, known = errors.flatten(2), y.flatten(2), known.flatten(2)  # b k n
        else:  # all pixels are those of one image
            errors, y, known = (x.transpose(0, 1).flatten(1).unsqueeze(0) for x in (errors, y, known))
        found = y.any(dim=-1)  # b k
        counted = found if self.classes == "present" else known.any(dim=-1).expand_as(found)
        steps = torch.zeros_like(errors)
        for item, c in counted.nonzero().tolist():
            steps[item, c] = jaccard_steps(errors[item, c].detach(), y[item, c])
        return mean_over_classes((errors * steps).sum(dim=-1), counted, class_weights)


def jaccard_steps(errors: Float[Tensor, " n"], y: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return by how much the Jaccard loss of a class grows as each pixel becomes wrong, largest error first.

    The loss is linear in the errors as long as their order does not change, so that these are its gradient.
    """
    bits = errors.view(torch.int32 if errors.dtype == torch.float32 else torch.int64)
    order = (
        bits.neg().argsort()
    )  # as the errors, which are not below 0; whole numbers sort several times faster
    y = y.gather(0, order)
    missed = y.cumsum(0)
    loss = 1 - (missed[-1] - missed) / (missed[-1] + (1 - y).cumsum(0))
    return torch.empty_like(loss).scatter_(0, order, torch.diff(loss, prepend=loss.new_zeros(1)))
