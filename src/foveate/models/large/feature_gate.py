"""How much each patch of a picture counts by its own features."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


class FeatureGate(nn.Module):
    """How much each patch counts by its own features: Ilse et al., eq. 8, without the softmax.

    Args:
        width: Of the features.
        hidden: Of the layer between.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.embed, self.score = nn.Linear(width, hidden), nn.Linear(hidden, 1, bias=False)

    def forward(self, features: Float[Tensor, "b k d"]) -> Float[Tensor, "b k 1"]:
        """Return a factor for each patch; the largest of a picture is 1."""
        scores: Tensor = self.score(self.embed(features).tanh())
        return (scores - scores.detach().amax(dim=1, keepdim=True)).exp()
