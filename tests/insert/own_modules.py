"""Modules as users write them: none of them knows foveate."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from foveate.mechanisms.base import Refine


class ScaleGate(nn.Module):
    """A channel gate with the names that module collections use."""

    def __init__(self, in_planes: int, width: int = 4) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(in_planes, width), nn.ReLU(), nn.Linear(width, in_planes))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.layers(x.mean(dim=(2, 3))).sigmoid()[:, :, None, None]


class Nothing(nn.Module):
    """Takes no argument at all."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


class Halves(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, ::2]


class NamedDim(nn.Module):
    """Takes its channels by keyword alone."""

    def __init__(self, *, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight[:, None, None]


class WithoutCost(Refine):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        return x


def not_a_module(channels: int) -> int:
    return channels


class Add(nn.Module):
    """Its name in snake_case is that of a method of what holds it."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 1


class Slots(Add):
    """Its name in snake_case is that of an attribute of what holds it."""


class SeGate(Add):
    """Its name in snake_case is that of the gate of ``se``."""


class Refuses(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        raise ValueError(f"{channels} channels are too many for me")
