"""SmoothGrad: the saliency of the gradient's mean over noisy copies of the image.

    map = max over colours of |mean over n of df/dx at x + noise|,    noise ~ N(0, (sigma (max x - min x))^2)

Paper   Smilkov et al. SmoothGrad: removing noise by adding noise. 2017. arXiv:1706.03825, eq. 2.
Cost    ``samples`` forward and backward passes.
Differs from the paper: nothing. The noise depends on the seed alone, so an image's map does not depend on the
        others of its batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from foveate.errors import OptionError
from foveate.explain.methods.explanation import Explanation, Reads, explanations
from foveate.explain.methods.path_gradients import mean_gradient
from foveate.explain.question import Question
from foveate.options import whole


@explanations.register("smooth_grad")
@dataclass(frozen=True)
class SmoothGrad(Explanation):
    """Saliency of the mean gradient over noisy copies.

    Args:
        samples: n. Paper: 50.
        sigma: Standard deviation of the noise, as a share of the image's range of values. Paper: 0.1 to 0.2.
        seed: Of the noise.
    """

    paper: ClassVar[str] = "Smilkov et al. 2017"
    reads: ClassVar[Reads] = "gradients"
    signed: ClassVar[bool] = False
    samples: int = 50
    sigma: float = 0.15
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("samples", self.samples)
        if self.sigma < 0:
            raise OptionError(f"sigma: got {self.sigma}, expected a share of the range, at least 0")

    def __call__(self, question: Question) -> Tensor:
        """Return the maps (B, H, W)."""
        x = question.images
        low, high = x.flatten(1).aminmax(dim=1)
        deviation = (self.sigma * (high - low))[:, None, None, None]

        def changed(samples: Tensor, rows: Tensor) -> Tensor:
            noise = torch.stack([self._noise(n, x) for n in samples.tolist()])
            return x[rows] + deviation[rows] * noise

        weights = torch.full((self.samples,), 1 / self.samples, device=x.device)
        return mean_gradient(question, weights, changed).abs().amax(dim=1)

    def _noise(self, sample: int, x: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed((self.seed << 20) + sample)
        return torch.randn(x.shape[1:], generator=generator, dtype=torch.float64).to(x)
