"""Hard reading by REINFORCE: one entry is drawn, and draws that turned out well are made more probable.

Formula c = m_s, s ~ a = softmax(score / temperature); in training with probability soft_share
        c = sum_j a_j m_j; the scores' gradient is d log a_s (log p(y|s) - baseline): see ReinforceLoss
Paper   Xu et al. Show, Attend and Tell. ICML 2015. arXiv:1502.03044, section 4.1.
Shapes  query (B, T, Q), memory (B, N, D), mask (B, N) -> context (B, T, D), weights (B, T, N); map (B, T, N),
        0 and a single 1, or probabilities where the expectation is used.
Cost    with n = hidden: parameters n*(Q + D + 2); MACs of one query n*Q + N*(n*D + n + D).
Differs none in training with coin="image"; the authors' code draws the coin once for a batch
        (coin="batch"). At inference that code reads the soft expectation; here the default is the most
        probable entry, as hard attention says.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from foveate.errors import OptionError
from foveate.mechanisms.base import mechanisms
from foveate.mechanisms.facets import Facets
from foveate.mechanisms.reading.drawing import CHOICES, at_inference, drawn
from foveate.mechanisms.reading.hard_read import HardRead
from foveate.options import one_of


@mechanisms.register("reinforce")
class ReinforceRead(HardRead):
    """Read one entry of a memory for each query; the scores learn by the REINFORCE rule.

    Args:
        channels: D of the memory's entries.
        query: Q of the queries; None takes ``channels``.
        hidden: Width n of the network that scores; None takes ``channels``, but at least 16.
        choose: What is read at inference: "argmax", "sample" or "expectation".
        soft_share: Probability that training reads the expectation, not a sample, in [0, 1]. Paper: 0.5.
        coin: Whether that is decided for each "image" or for the whole "batch".
        temperature: What the scores are divided by; positive.

    Raises:
        OptionError: ``choose`` or ``coin`` is unknown, ``soft_share`` is not a probability, or
            ``temperature`` or a width is not positive.

    Example:
        >>> import torch
        >>> reading = ReinforceRead(64).eval().read(torch.rand(2, 3, 64), torch.rand(2, 49, 64))
        >>> reading.context.shape, reading.weights.sum(dim=2).unique()
        (torch.Size([2, 3, 64]), tensor([1.]))
    """

    facets = Facets(
        over=("positions", "steps"), driven_by="query", weighting="hard", sites=("pool", "output")
    )
    variants = {
        "query": 24,
        "hidden": 8,
        "choose": "expectation",
        "soft_share": 0.0,
        "coin": "batch",
        "temperature": 100.0,
    }

    def __init__(
        self,
        channels: int,
        *,
        query: int | None = None,
        hidden: int | None = None,
        choose: str = "argmax",
        soft_share: float = 0.5,
        coin: str = "image",
        temperature: float = 1.0,
    ) -> None:
        super().__init__(channels, query, hidden, temperature=temperature)
        one_of("coin", coin, ("image", "batch"))
        one_of("choose", choose, CHOICES)
        if not isinstance(soft_share, (int, float)) or not 0 <= soft_share <= 1:
            raise OptionError(f"soft_share: got {soft_share!r}, expected a probability from 0 to 1")
        self.choose, self.coin, self.soft_share = choose, coin, float(soft_share)

    def choose_weights(
        self, scores: Tensor, probabilities: Tensor, hidden: Tensor | None, generator: torch.Generator | None
    ) -> Float[Tensor, "b t n"]:
        """Return a sample or the expectation in training, and what ``choose`` says at inference."""
        if not self.training:
            weights: Tensor = self.map(at_inference(self.choose, probabilities, hidden, generator))
            return weights
        weights = drawn(probabilities, hidden, self.soft_share, self.coin, generator)
        return self.map(weights)
