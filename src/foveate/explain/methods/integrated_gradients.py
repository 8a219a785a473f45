"""Integrated gradients: the gradient, averaged over the straight way from a baseline image to the image.

    map = sum over colours of (x - x') mean over t in [0, 1] of df/dx at x' + t (x - x')

The mean is a Gauss-Legendre quadrature. Completeness: the map adds up to f(x) - f(x'), but for the error of
the quadrature, which kinks such as ReLU's leave at some percent for few steps. A trapezoid rule whose weights
add up to (n - 1) / n, as some packages have it, is short by that share.

Paper   Sundararajan, Taly, Yan. Axiomatic Attribution for Deep Networks. ICML 2017. arXiv:1703.01365, eq. 1.
Cost    ``steps`` forward and backward passes.
Differs from the paper: the quadrature; it takes the right Riemann sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from foveate.explain.methods.explanation import Explanation, Reads, explanations
from foveate.explain.methods.path_gradients import mean_gradient
from foveate.explain.question import Question
from foveate.options import whole


@explanations.register("integrated_gradients")
@dataclass(frozen=True)
class IntegratedGradients(Explanation):
    """Gradients along the way from a baseline, times the way; adds up to the difference of the logits.

    Args:
        steps: Nodes of the quadrature. Paper: 20 to 300.
        baseline: Value of every pixel of x', in units of the normalised image: 0 is its mean colour.
    """

    paper: ClassVar[str] = "Sundararajan et al. 2017"
    reads: ClassVar[Reads] = "gradients"
    signed: ClassVar[bool] = True
    steps: int = 50
    baseline: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("steps", self.steps)

    def __call__(self, question: Question) -> Tensor:
        """Return the maps (B, H, W)."""
        x = question.images
        way = x - self.baseline
        nodes, weights = np.polynomial.legendre.leggauss(self.steps)
        shares = torch.tensor((nodes + 1) / 2, dtype=x.dtype, device=x.device)

        def changed(steps: Tensor, rows: Tensor) -> Tensor:
            return self.baseline + shares[steps, None, None, None] * way[rows]

        gradient = mean_gradient(question, torch.tensor(weights / 2, device=x.device), changed)
        return (gradient * way).sum(dim=1)
