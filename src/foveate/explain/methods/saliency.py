"""Saliency: how steeply the logit changes with each pixel.

    map = max over colours of |df/dx|

Paper   Simonyan, Vedaldi, Zisserman. Deep Inside Convolutional Networks: Visualising Image Classification
        Models and Saliency Maps. ICLR Workshops 2014. arXiv:1312.6034, section 3.
Differs from the paper: nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from foveate.explain.methods.explanation import Explanation, Reads, explanations
from foveate.explain.question import Question


@explanations.register("saliency")
@dataclass(frozen=True)
class Saliency(Explanation):
    """Largest absolute gradient among the colours of each pixel."""

    paper: ClassVar[str] = "Simonyan et al. 2014"
    reads: ClassVar[Reads] = "gradients"
    signed: ClassVar[bool] = False

    def __call__(self, question: Question) -> Tensor:
        """Return the maps (B, H, W)."""
        return question.input_gradients().abs().amax(dim=1)
