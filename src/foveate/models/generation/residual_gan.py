"""SAGAN's residual generator and projection discriminator, in the layout released with BigGAN-PyTorch.

Formula generator: linear, then blocks of norm, ReLU, up, conv, norm, ReLU, conv beside up and 1x1 conv; norm,
        ReLU, conv, tanh. Discriminator: blocks of ReLU, conv, ReLU, conv, mean of 2x2, beside 1x1 conv and
        mean; h = sum over space of relu; logit = linear(h) + <embed(c), h>, the
        embeddings of the class and of what else is asked for added up.
Paper   Zhang et al. ICML 2019. arXiv:1805.08318; Miyato, Koyama. cGANs with Projection Discriminator. ICLR
        2018. arXiv:1802.05637.
Shapes  noise (B, Z), condition (B, K + P) or None -> images (B, colours, S, S) in (-1, 1); images -> (B, 1).
Differs none in the numbers. At 32 px the released table calls the maps of all four blocks of the
        discriminator 16 px, so that ``at=16`` puts attention behind each; the published counts follow it.
        8 and 16 px are ours: as at 32 px, with one and two blocks less in the generator, and a
        discriminator that goes down to 4 px.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.models.generation.condition import ConditionNet, Goal
from foveate.models.generation.conditional_norm import ConditionalNorm
from foveate.models.generation.residual_gan_names import of_released
from foveate.models.generation.resizing_convolutions import DoublingConv2d, HalvingConv2d
from foveate.models.generation.self_attention import self_attention
from foveate.models.generation.spectral_norm import SpectralConv2d, SpectralLinear, SpectralTable

FIRST = 4  # side of the generator's first map
# Widths of the maps by the side of the pictures, in units of ``channels``; the first is the linear layer's.
UP = {
    8: (4, 4),
    16: (4, 4, 4),
    32: (4, 4, 4, 4),
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
}
# Of the discriminator: widths, and the side of each block's result as the released table calls it.
DOWN = {
    8: ((4, 4), (4, 4)),
    16: ((4, 4, 4), (8, 4, 4)),
    32: ((4, 4, 4, 4), (16, 16, 16, 16)),
    64: ((1, 2, 4, 8, 16), (32, 16, 8, 4, 4)),
    128: ((1, 2, 4, 8, 16, 16), (64, 32, 16, 8, 4, 4)),
    256: ((1, 2, 4, 8, 8, 16, 16), (128, 64, 32, 16, 8, 4, 4)),
}
_HALVED = {8: 1, 16: 2, 32: 2, 64: 4, 128: 5, 256: 6}  # blocks that halve their map


class _Up(nn.Module):
    """A block of the generator that doubles the side of the map."""

    def __init__(self, channels: int, out: int, goal: Goal, rule: str) -> None:
        super().__init__()
        self.bn1, self.bn2 = _norm(channels, goal), _norm(out, goal)
        self.conv1, self.conv2 = DoublingConv2d(channels, out, rule=rule), _conv(out, out, rule)
        self.conv_sc = SpectralConv2d(channels, out, 1, rule=rule)

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return a map of twice the side."""
        y = self.conv1(F.relu(self.bn1(x, condition)))
        y = self.conv2(F.relu(self.bn2(y, condition)))
        return y + _doubled(self.conv_sc(x))  # a 1x1 convolution of copies is a copy of it


class _Down(nn.Module):
    """A block of the discriminator."""

    def __init__(self, channels: int, out: int, rule: str, *, first: bool, halves: bool) -> None:
        super().__init__()
        self.conv1 = _conv(channels, out, rule)
        self.conv2 = HalvingConv2d(out, out, rule=rule) if halves else _conv(out, out, rule)
        self.first, self.halves = first, halves
        self.conv_sc = SpectralConv2d(channels, out, 1, rule=rule) if halves or channels != out else None

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of half the side, or of the same."""
        y = self.conv2(F.relu(self.conv1(x if self.first else F.relu(x))))
        if self.halves:  # the mean comes before or after the 1x1 convolution: they commute
            x = F.avg_pool2d(x, 2)
        return y + (x if self.conv_sc is None else self.conv_sc(x))


class Generator(nn.Module):
    """Noise and a condition to pictures.

    Args:
        size: Side of the pictures in pixels; a key of ``UP``.
        channels: Unit of the widths.
        noise: Z, numbers of noise.
        colours: Channels of a picture.
        goal: What is asked for.
        attention: "released", "paper" or "none".
        at: Sides of the maps that attention follows.
        rule: Of spectral normalisation.
    """

    def __init__(
        self,
        *,
        size: int,
        channels: int,
        noise: int,
        colours: int,
        goal: Goal,
        attention: str,
        at: tuple[int, ...],
        rule: str,
    ) -> None:
        super().__init__()
        widths = [unit * channels for unit in UP[size]]
        self.goal, self.noise = goal, noise
        self.condition = ConditionNet(goal)
        self.linear = SpectralLinear(noise, widths[0] * FIRST**2, rule=rule)
        self.blocks = nn.ModuleList()
        for number, (width, out) in enumerate(pairwise(widths), 1):
            stage = nn.ModuleList([_Up(width, out, goal, rule)])
            if attention != "none" and FIRST * 2**number in at:
                stage.append(self_attention(attention, out, rule))
            self.blocks.append(stage)
        last = _conv(widths[-1], colours, rule)
        self.output_layer = nn.Sequential(_norm(widths[-1], Goal()), nn.ReLU(), last)

    def forward(
        self, noise: Float[Tensor, "b z"], condition: Float[Tensor, "b k"] | None = None
    ) -> Float[Tensor, "b colours s s"]:
        """Return pictures in (-1, 1)."""
        features = self.condition(condition) if self.goal.length else None
        x = self.linear(noise).unflatten(1, (-1, FIRST, FIRST))
        for stage in self.blocks:
            block, *attention = cast(nn.ModuleList, stage)
            x = block(x, features)
            for layer in attention:
                x = layer(x)
        return torch.tanh(self.output_layer(x))

    def from_published(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return weights in the released layout under our names."""
        return of_released(state)


class Discriminator(nn.Module):
    """Pictures and a condition to a score: above 0 for real.

    Args:
        size: Side of the pictures in pixels; a key of ``DOWN``.
        channels: Unit of the widths.
        colours: Channels of a picture.
        goal: What was asked for.
        attention: "released", "paper" or "none".
        at: Sides of the maps that attention follows, as ``DOWN`` calls them.
        rule: Of spectral normalisation.
    """

    def __init__(
        self,
        *,
        size: int,
        channels: int,
        colours: int,
        goal: Goal,
        attention: str,
        at: tuple[int, ...],
        rule: str,
    ) -> None:
        super().__init__()
        units, sides = DOWN[size]
        widths = [colours, *(unit * channels for unit in units)]
        self.goal = goal
        self.condition = ConditionNet(goal, rule)
        self.blocks = nn.ModuleList()
        for number, (width, out) in enumerate(pairwise(widths)):
            halves = number < _HALVED[size]
            stage = nn.Sequential(_Down(width, out, rule, first=number == 0, halves=halves))
            if attention != "none" and sides[number] in at:
                stage.append(self_attention(attention, out, rule))
            self.blocks.append(stage)
        self.linear = SpectralLinear(widths[-1], 1, rule=rule)
        if goal.classes:
            self.embed = SpectralTable(goal.classes, widths[-1], rule=rule)
        if goal.width:
            self.embed_pose = SpectralTable(goal.width, widths[-1], rule=rule)

    def forward(
        self, images: Float[Tensor, "b colours s s"], condition: Float[Tensor, "b k"] | None = None
    ) -> Float[Tensor, "b 1"]:
        """Return how real the pictures look, for the condition."""
        return self.score(self.features(images), condition)

    def features(self, images: Float[Tensor, "b colours s s"]) -> Float[Tensor, "b c"]:
        """Return what is seen in the pictures, whatever the condition."""
        x = images
        for stage in self.blocks:
            x = stage(x)
        return F.relu(x).sum(dim=(2, 3))

    def score(
        self, summed: Float[Tensor, "b c"], condition: Float[Tensor, "b k"] | None = None
    ) -> Float[Tensor, "b 1"]:
        """Return how real pictures look for the condition, by their features."""
        score: Tensor = self.linear(summed)
        if not self.goal.length:
            return score
        labels, pose = self.condition(condition).tensor_split([self.goal.classes], dim=1)
        if self.goal.classes:
            score = score + (self.embed(labels) * summed).sum(dim=1, keepdim=True)
        if self.goal.width:
            score = score + (self.embed_pose(pose) * summed).sum(dim=1, keepdim=True)
        return score

    def from_published(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return weights in the released layout under our names."""
        return of_released(state)


def _norm(channels: int, goal: Goal) -> ConditionalNorm:
    return ConditionalNorm(channels, classes=goal.classes, width=goal.width)


def _conv(channels: int, out: int, rule: str) -> SpectralConv2d:
    return SpectralConv2d(channels, out, 3, rule=rule, padding=1)


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")
