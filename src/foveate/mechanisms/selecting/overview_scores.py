"""Scores of an overview: a small network says how much each place is worth a closer look."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor, nn

from foveate.mechanisms.precision import precise, widen


class OverviewScores(nn.Module):
    """Three convolutions, as in the attention network of Katharopoulos and Fleuret for large digits.

    Formula s = conv3(tanh(conv3(tanh(conv3(x))))), all of the overview's size; 9*n*(C + n + 1) + 2*n + 1
    parameters for n hidden channels. Computed in float32 for half types: scores decide by small differences.

    Args:
        channels: C of the pictures.
        hidden: Width n of the two layers between.

    Example:
        >>> sum(p.numel() for p in OverviewScores(1, 8).parameters())
        737
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, hidden, kernel_size=3, padding=1)
        self.second = nn.Conv2d(hidden, hidden, kernel_size=3, padding=1)
        self.last = nn.Conv2d(hidden, 1, kernel_size=3, padding=1)

    def forward(self, overview: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
        """Return a score for each place."""
        x = precise(self.first, widen(overview)).tanh()
        return precise(self.last, precise(self.second, x).tanh()).squeeze(1)


def macs(channels: int, hidden: int, height: int, width: int) -> int:
    """Return the multiply-adds of the scores of an overview of this size."""
    return 9 * hidden * (channels + hidden + 1) * height * width


def parameters(channels: int, hidden: int) -> int:
    """Return how many numbers the network learns."""
    return 9 * hidden * (channels + hidden + 1) + 2 * hidden + 1


def shares(
    scores: Float[Tensor, "b h w"], outside: Bool[Tensor, "b h w"] | None, smoothing: float = 0.0
) -> Float[Tensor, "b h w"]:
    """Return a softmax of the scores over all places, 0 outside, mixed with ``smoothing`` of equal shares."""
    if outside is not None:
        scores = scores.masked_fill(outside, float("-inf"))
    found = scores.flatten(1).softmax(dim=1).view_as(scores)
    if not smoothing:
        return found
    if outside is None:
        return (1 - smoothing) * found + smoothing / (scores.shape[1] * scores.shape[2])
    inside = (~outside).to(scores.dtype)
    return (1 - smoothing) * found + smoothing * inside / inside.sum(dim=(1, 2), keepdim=True)
