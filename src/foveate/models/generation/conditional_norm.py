"""Batch normalisation whose gain and bias depend on the condition.

Formula (1 + gain(c)) * (x - mean) / sqrt(var + 1e-5) + bias(c)
Paper   Dumoulin, Shlens, Kudlur. A Learned Representation for Artistic Style. ICLR 2017. arXiv:1610.07629;
        de Vries et al. Modulating early visual processing by language. NeurIPS 2017. arXiv:1707.00683. With
        1 + gain and momentum 0.1 as in BigGAN-PyTorch; SAGAN's TensorFlow code has a gain of 1 at the start
        and decays its statistics by 0.999.
Shapes  x (B, C, H, W), condition (B, K + W): classes, then features of the pose -> (B, C, H, W).
"""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Table(nn.Module):
    """A row of numbers for every class, mixed by how much of each class a condition holds.

    Args:
        rows: Number of classes.
        width: Length of a row.
    """

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(rows, width)))

    def forward(self, condition: Float[Tensor, "b k"]) -> Float[Tensor, "b w"]:
        """Return the mixed row (B, width)."""
        return condition @ self.weight


class ConditionalNorm(nn.Module):
    """Normalise each channel by the batch, then scale and shift it as the condition says.

    Args:
        channels: C.
        classes: K, with a row of gains and of biases for each; 0 for none.
        width: Features of a pose, behind the classes: two linear layers, zero at the start; 0 for none. With
            neither classes nor pose, gain and bias are learnt numbers.
    """

    gain: nn.Module | nn.Parameter | None
    bias: nn.Module | nn.Parameter | None

    def __init__(self, channels: int, *, classes: int = 0, width: int = 0) -> None:
        super().__init__()
        self.norm, self.classes = nn.BatchNorm2d(channels, affine=False), classes
        if classes:
            self.gain, self.bias = Table(classes, channels), Table(classes, channels)
        elif not width:
            self.gain = nn.Parameter(torch.ones(channels))
            self.bias = nn.Parameter(torch.zeros(channels))
        if width:
            self.pose_gain, self.pose_bias = _zero(width, channels), _zero(width, channels)
        self.posed = bool(width)

    def forward(self, input: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return ``input`` (B, C, H, W) normalised, scaled and shifted."""
        normed = self.norm(input)
        if condition is None or not (self.classes or self.posed):
            gain, shift = (cast(Tensor, part).view(1, -1, 1, 1) for part in (self.gain, self.bias))
        else:
            gain, shift = (part[:, :, None, None] for part in self._steered(condition))
        return (normed * gain + shift).to(input.dtype)

    def _steered(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Return gain and bias (B, C): what the classes say and what the pose says, added up."""
        labels, pose = condition[:, : self.classes], condition[:, self.classes :]
        gain, shift = condition.new_ones(()), condition.new_zeros(())
        if self.classes:
            gain = gain + cast(nn.Module, self.gain)(labels)
            shift = shift + cast(nn.Module, self.bias)(labels)
        if self.posed:
            gain, shift = gain + self.pose_gain(pose), shift + self.pose_bias(pose)
        return gain, shift


def _zero(width: int, channels: int) -> nn.Linear:
    layer = nn.Linear(width, channels)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
