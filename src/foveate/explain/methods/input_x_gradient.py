"""Input times gradient: the first-order effect of each pixel on the logit.

    map = sum over colours of x df/dx

Paper   Shrikumar et al. Not Just a Black Box: Learning Important Features Through Propagating Activation
        Differences. 2016. arXiv:1605.01713.
Differs from the paper: nothing. Colours with the value 0, the mean of a normalised image, get 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from foveate.explain.methods.explanation import Explanation, Reads, explanations
from foveate.explain.question import Question


@explanations.register("input_x_gradient")
@dataclass(frozen=True)
class InputXGradient(Explanation):
    """Pixel times gradient, summed over colours."""

    paper: ClassVar[str] = "Shrikumar et al. 2016"
    reads: ClassVar[Reads] = "gradients"
    signed: ClassVar[bool] = True

    def __call__(self, question: Question) -> Tensor:
        """Return the maps (B, H, W)."""
        return (question.input_gradients() * question.images).sum(dim=1)
