"""Hand-written networks, and parameters that hide nothing."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def randomise(model: nn.Module) -> nn.Module:
    """Give every parameter and buffer a random value: a last layer of zeros would hide all changes."""
    with torch.no_grad():
        for parameter in model.parameters():
            fan_in = math.prod(parameter.shape[1:])
            if parameter.ndim > 1:
                parameter.normal_(0, 1 / math.sqrt(fan_in))
            else:
                parameter.uniform_(0.3, 0.7)
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0, 0.1)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
    return model


class Block(nn.Module):
    """Two branches over one input, and the input itself."""

    def __init__(self, channels: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.near = nn.Sequential(nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out))
        self.far = nn.Conv2d(channels, out, 3, stride, 2, dilation=2)
        self.shortcut = nn.Identity() if channels == out else nn.Conv2d(channels, out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.near(x) + self.far(x) + self.shortcut(x))


class Branches(nn.Module):
    """A small classifier with branches, as people write them."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2, 1)
        self.blocks = nn.ModuleList([Block(8, 8), Block(8, 16, 2), Block(16, 16)])
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, classes))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class Shared(nn.Module):
    """A network that runs one activation twice and one layer never."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.second = nn.Conv2d(6, 6, 3, padding=1)
        self.act = nn.ReLU()
        self.idle = nn.Conv2d(6, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.second(self.act(self.first(x))))
