"""Hard reading by Gumbel-softmax: noise makes the argmax a draw, a softmax of the same gives the slope.

Formula c = sum_j y_j m_j, y = softmax((score + g) / tau), g = -log(-log u), u uniform; with hard=True the
        context uses onehot(argmax y) and the gradient is that of y (straight through)
Paper   Jang, Gu, Poole. Categorical Reparameterization with Gumbel-Softmax. ICLR 2017. arXiv:1611.01144,
        section 2; Maddison, Mnih, Teh. The Concrete Distribution. ICLR 2017. arXiv:1611.00712.
Shapes  query (B, T, Q), memory (B, N, D), mask (B, N) -> context (B, T, D), weights (B, T, N); map (B, T, N),
        0 and a single 1 with hard=True, else rows that sum to 1.
Cost    with n = hidden: parameters n*(Q + D + 2); MACs of one query n*Q + N*(n*D + n + D); 4 bytes for tau.
Differs none; tau falls during training only if it is set, by ``annealed`` for instance.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from foveate.mechanisms.base import mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.reading.drawing import CHOICES, at_inference, relaxed
from foveate.mechanisms.reading.hard_read import HardRead
from foveate.options import one_of, positive


@mechanisms.register("gumbel")
class GumbelRead(HardRead):
    """Read one entry of a memory for each query, drawn so that the scores get a gradient.

    Args:
        channels: D of the memory's entries.
        query: Q of the queries; None takes ``channels``.
        hidden: Width n of the network that scores; None takes ``channels``, but at least 16.
        tau: Temperature in training, above 0: the lower, the nearer to a choice, the noisier the gradient.
            A buffer, so that an annealed one is saved: ``module.tau.fill_(annealed(step))``.
        hard: Whether training reads one entry, with the soft gradient; else a mean near to one entry.
        choose: What is read at inference: "argmax", "sample" or "expectation".

    Raises:
        OptionError: ``choose`` is unknown, or ``tau`` or a width is not positive.

    Example:
        >>> import torch
        >>> context, weights = GumbelRead(64)(torch.rand(2, 3, 64), torch.rand(2, 49, 64))
        >>> context.shape, weights.sum(dim=2).unique()
        (torch.Size([2, 3, 64]), tensor([1.], grad_fn=<Unique2Backward0>))
    """

    facets = Facets(
        over=("positions", "steps"), driven_by="query", weighting="hard", sites=("pool", "output")
    )
    variants = {"query": 24, "hidden": 8, "tau": 0.5, "hard": False, "choose": "expectation"}

    def __init__(
        self,
        channels: int,
        *,
        query: int | None = None,
        hidden: int | None = None,
        tau: float = 1.0,
        hard: bool = True,
        choose: str = "argmax",
    ) -> None:
        super().__init__(channels, query, hidden)
        self.tau: Tensor
        self.register_buffer("tau", torch.tensor(positive("tau", tau)))
        one_of("choose", choose, CHOICES)
        self.hard, self.choose = hard, choose

    def choose_weights(
        self, scores: Tensor, probabilities: Tensor, hidden: Tensor | None, generator: torch.Generator | None
    ) -> Float[Tensor, "b t n"]:
        """Return a relaxed draw in training, and what ``choose`` says at inference."""
        if not self.training:
            weights: Tensor = self.map(at_inference(self.choose, probabilities, hidden, generator))
            return weights
        return self.map(relaxed(scores, self.tau, hidden, hard=self.hard, generator=generator))

    def cost(self, height: int, width: int) -> Cost:
        """Return the cost of one query that reads height * width entries; choosing is free."""
        return super().cost(height, width) + Cost(parameters=0, macs=0, bytes=4)


def annealed(step: int, *, rate: float = 1e-5, least: float = 0.5) -> float:
    """Return tau after ``step`` updates: max(least, exp(-rate * step)).

    Example:
        >>> annealed(0), annealed(1_000_000)
        (1.0, 0.5)
    """
    return max(least, math.exp(-rate * step))
