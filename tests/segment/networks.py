"""Networks whose answers are known."""

import torch
from torch import nn


class Local(nn.Sequential):
    """Three 3 x 3 convolutions with zero padding: a pixel sees three pixels to each side, RADIUS."""

    RADIUS = 3

    def __init__(self, classes=4, channels=3):
        torch.manual_seed(0)
        super().__init__(
            nn.Conv2d(channels, 8, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(8, classes, 3, padding=1),
        )
        for parameter in self.parameters():
            parameter.data *= 3


class Pointwise(nn.Conv2d):
    """Sees a pixel alone: commutes with every flip and turn."""

    def __init__(self, classes=4):
        torch.manual_seed(0)
        super().__init__(3, classes, 1)
