"""Perturbed top-k reading: the k best entries are read; noise on the scores smooths the choice to learn by.

Formula c = sum_r Y_r m / k, Y (k, N) marks the k highest of x, in the order of their places; in training
        E[Y(x + sigma Z)] over draws Z ~ N(0, 1), with the Jacobian E[Y(x + sigma Z) Z^T] / sigma;
        x the scores, brought to [0, 1] by their least and greatest
Paper   Cordonnier, Mahendran, Dosovitskiy, Weissenborn, Uszkoreit, Unterthiner. Differentiable Patch
        Selection for Image Recognition. CVPR 2021. arXiv:2104.03059, section 3; Berthet et al. NeurIPS 2020.
Shapes  query (B, T, Q), memory (B, N, D), mask (B, N) -> context (B, T, D), weights (B, T, N), rows sum to 1;
        map (B, T, K, N), K = min(k, N) rows of 0 and a single 1 at inference, means of such in training.
Cost    with n = hidden: parameters n*(Q + D + 2); MACs of one query n*Q + N*(n*D + n + D); 4 bytes for
        sigma; training keeps draws*(N + K) numbers for each query.
Differs the k entries are averaged to one context, where the paper goes on with k patches. rescale=False takes
        the scores as they are. The paper lowers sigma while training runs; at 0 the choice is plain.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from foveate.errors import OptionError
from foveate.mechanisms.base import mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import as_saved
from foveate.mechanisms.reading.hard_read import HardRead
from foveate.options import whole


@mechanisms.register("top_k")
class TopKRead(HardRead):
    """Read the mean of the k best entries of a memory for each query.

    Args:
        channels: D of the memory's entries.
        query: Q of the queries; None takes ``channels``.
        hidden: Width n of the network that scores; None takes ``channels``, but at least 16.
        k: Number of entries that are read; all where there are fewer.
        sigma: Standard deviation of the noise in training, at least 0. Paper: 0.05, falling to
            0. A buffer, so that a lowered one is saved: ``module.sigma.fill_(0.01)``.
        draws: Number of draws of the noise. Paper: 500.
        rescale: Whether the scores are brought to [0, 1] before the noise.

    Raises:
        OptionError: ``sigma`` is negative, or a number is not positive and whole.

    Example:
        >>> import torch
        >>> context, weights = TopKRead(64, k=4).eval()(torch.rand(2, 3, 64), torch.rand(2, 49, 64))
        >>> context.shape, weights.unique()
        (torch.Size([2, 3, 64]), tensor([0.0000, 0.2500]))
    """

    facets = Facets(
        over=("positions", "steps"), driven_by="query", weighting="hard", sites=("pool", "output")
    )
    variants = {"query": 24, "hidden": 8, "k": 2, "sigma": 0.5, "draws": 20, "rescale": False}

    def __init__(
        self,
        channels: int,
        *,
        query: int | None = None,
        hidden: int | None = None,
        k: int = 4,
        sigma: float = 0.05,
        draws: int = 500,
        rescale: bool = True,
    ) -> None:
        super().__init__(channels, query, hidden)
        if isinstance(sigma, bool) or not isinstance(sigma, (int, float)) or not sigma >= 0:
            raise OptionError(f"sigma: got {sigma!r}, expected a number of at least 0")
        self.sigma: Tensor
        self.register_buffer("sigma", torch.tensor(float(sigma)))
        self.k, self.draws = whole("k", k), whole("draws", draws)
        self.rescale = rescale
        self.map = MapTap("b t k m", sums="m")

    def choose_weights(
        self, scores: Tensor, probabilities: Tensor, hidden: Tensor | None, generator: torch.Generator | None
    ) -> Float[Tensor, "b t n"]:
        """Return the mean of the k indicators, smoothed by noise in training."""
        k = min(self.k, scores.shape[2])
        if self.training:
            shape = (*scores.shape[:2], self.draws, scores.shape[2])
            noise = torch.empty(shape, dtype=scores.dtype, device=scores.device).normal_(generator=generator)
            x = rescaled(scores, hidden) if self.rescale else scores
            indicators = perturbed(_hide(x, hidden), noise, k, self.sigma.to(scores.dtype))
        else:
            places = _best(_hide(scores, hidden), k).unsqueeze(3)
            indicators = (torch.arange(scores.shape[2], device=scores.device) == places).to(scores.dtype)
        if hidden is None:
            return self.map(indicators).sum(dim=2) / k
        indicators = self.map(indicators.masked_fill(hidden.unsqueeze(2), 0.0))
        return indicators.sum(dim=2) / (~hidden).sum(dim=2, keepdim=True).clamp(1, k)

    def cost(self, height: int, width: int) -> Cost:
        """Return the cost of one query that reads height * width entries; choosing is free."""
        return super().cost(height, width) + Cost(parameters=0, macs=0, bytes=4)


def perturbed(
    scores: Float[Tensor, "*b n"], noise: Float[Tensor, "*b s n"], k: int, sigma: Float[Tensor, ""]
) -> Float[Tensor, "*b k n"]:
    """Return the mean of the top-k indicators of ``scores + sigma * noise`` over the S draws.

    Its gradient in ``scores`` is the estimate E[Y Z^T] / sigma from the same draws, and zero for
    ``sigma`` 0, where the choice has no slope; ``noise`` gets none.
    """
    return _Perturbed.apply(scores, noise, k, sigma)


def rescaled(scores: Float[Tensor, "b t n"], hidden: Tensor | None) -> Float[Tensor, "b t n"]:
    """Return the scores on a line from 0, the least of a row, to 1; equal ones become 0."""
    least, most = scores, scores
    if hidden is not None:
        ignored = hidden & ~hidden.all(dim=2, keepdim=True)  # where all are, any range does
        limits = torch.finfo(scores.dtype)
        least, most = scores.masked_fill(ignored, limits.max), scores.masked_fill(ignored, limits.min)
    least, most = least.amin(dim=2, keepdim=True), most.amax(dim=2, keepdim=True)
    return (scores - least) / (most - least).clamp_min(1e-5)


def _hide(scores: Tensor, hidden: Tensor | None) -> Tensor:
    return scores if hidden is None else scores.masked_fill(hidden, torch.finfo(scores.dtype).min)


def _best(scores: Tensor, k: int) -> Tensor:
    """Return the places (..., k) of the k highest, in ascending order."""
    return scores.topk(k, dim=-1, sorted=False).indices.sort(dim=-1).values


class _Perturbed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, noise: Tensor, k: int, sigma: Tensor) -> Tensor:
        places = _best(scores.unsqueeze(-2) + sigma * noise, k).transpose(-1, -2)  # (..., k, S)
        ctx.save_for_backward(noise, places, sigma)
        counts = scores.new_zeros(*places.shape[:-1], scores.shape[-1])
        ones = torch.ones_like(places, dtype=scores.dtype)
        return counts.scatter_add(-1, places, ones) / noise.shape[-2]

    @staticmethod
    @as_saved
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        noise, places, sigma = ctx.saved_tensors
        of_draws = grad.gather(-1, places).sum(dim=-2).unsqueeze(-2)  # <grad, Y> of each draw: (..., 1, S)
        slope = (of_draws @ noise).squeeze(-2) / (noise.shape[-2] * sigma)
        return torch.where(sigma > 0, slope, 0.0), None, None, None
