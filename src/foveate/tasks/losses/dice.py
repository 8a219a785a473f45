"""Soft Dice: the overlap of a class's probabilities and its pixels.

Formula D_c = (2 sum_i p_ic y_ic + s) / (sum_i p_ic^e + sum_i y_ic + s) over known pixels i, s = smooth, e = 2
        if square, else 1. L = 1 - sum_c w_c D_c / sum_c w_c over the counted classes, w the class weights.
Paper   Milletari, Navab, Ahmadi. V-Net. 3DV 2016, equation 2: square, smooth=0.
        Oktay et al. Attention U-Net. 2018, released code: doubled, smooth=0.01, over="image"; there the
        numerator is 2 (sum_i p_ic y_ic + s), so a class that is correctly empty scores 2.
Absent  classes="all": a class without true pixels scores s / (sum_i p_ic^e + s), so that false positives
        cost; 1 where that is 0/0. classes="present": it is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor

from foveate.data.class_numbers import IGNORE
from foveate.options import between, flag, one_of
from foveate.tasks.losses.loss import PixelLoss, losses, mean_over_classes, one_hot


@losses.register("dice")
@dataclass(frozen=True)
class Dice(PixelLoss):
    """1 minus the mean soft Dice coefficient of the classes.

    Args:
        smooth: Added to numerator and denominator, in pixels.
        square: Whether the probabilities in the denominator are squared.
        over: "batch" sums over all images before dividing; "image" averages the images' own values.
        classes: "all", or those "present" in the truth of the batch, or of the image.
        background: Whether class 0 is counted.
        doubled: Whether ``smooth`` is doubled in the numerator, as in Attention U-Net's released code.

    Raises:
        OptionError: An option has an impossible value.

    Example:
        >>> import torch
        >>> truth = torch.tensor([[[0, 1], [1, 1]]])
        >>> sure = 100.0 * torch.nn.functional.one_hot(truth).permute(0, 3, 1, 2)
        >>> Dice()(sure, truth)
        tensor(0.)
    """

    smooth: float = 1.0
    square: bool = False
    over: str = "batch"
    classes: str = "all"
    background: bool = True
    doubled: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        between("smooth", self.smooth, 0)
        flag("square", self.square)
        one_of("over", self.over, ("batch", "image"))
        one_of("classes", self.classes, ("all", "present"))
        flag("background", self.background)
        flag("doubled", self.doubled)

    def of(
        self,
        logits: Float[Tensor, "b k *s"],
        targets: Int64[Tensor, " b *s"],
        class_weights: Float[Tensor, " k"] | None,
    ) -> Float[Tensor, ""]:
        """Return 1 minus the mean over the counted classes, and images if each has its own."""
        known = (targets != IGNORE).unsqueeze(1)
        p, y = logits.softmax(dim=1) * known, one_hot(targets, logits)
        axes = (*((0,) if self.over == "batch" else ()), *range(2, logits.ndim))
        both, truth = (p * y).sum(dim=axes), y.sum(dim=axes)  # k, or b k
        above = 2 * both + self.smooth * (2 if self.doubled else 1)
        below = (p.square() if self.square else p).sum(dim=axes) + truth + self.smooth
        dice = (above / below.where(below > 0, 1.0)).where(below > 0, 1.0)
        counted = truth > 0 if self.classes == "present" else known.sum(dim=axes).expand_as(truth) > 0
        if not self.background:
            counted = counted.clone()
            counted[..., 0] = False
        return mean_over_classes(1 - dice, counted, class_weights)
