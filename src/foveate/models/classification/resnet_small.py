"""Residual networks for small images: three stages of plain residual blocks, 6n + 2 layers.

Paper   He, Zhang, Ren, Sun. Deep Residual Learning for Image Recognition. CVPR 2016. arXiv:1512.03385,
        section 4.2.
Shapes  images (B, 3, H, W), H and W at least 8 -> logits (B, classes); stages of W, 2W and 4W channels at
        full, half and quarter size, W = ``width``.
Cost    with width 16 and 10 classes: resnet20 has 269,722 parameters and 40.6 million MACs at 32 x 32.
Differs any size of image and any width; option A shortcuts (no parameters) as in the paper.
"""

from __future__ import annotations

import functools

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.errors import OptionError, ShapeError
from foveate.models.names import models

DEPTHS = (8, 14, 20, 32, 44, 56, 110)
SMALLEST = 8  # pixels: the last stage still has 2 x 2 positions


class Subsample(nn.Module):
    """The shortcut without parameters: every second pixel, new channels filled with zeros.

    Args:
        channels: Channels that come in.
        wider: Channels that go out.
    """

    def __init__(self, channels: int, wider: int) -> None:
        super().__init__()
        self.before = (wider - channels) // 2
        self.after = wider - channels - self.before

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Return a map of half the size."""
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.before, self.after))


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut around them.

    Args:
        channels: Channels that come in.
        wider: Channels that go out.
        stride: 1 keeps the size, 2 halves it.
    """

    def __init__(self, channels: int, wider: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, wider, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(wider)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(wider, wider, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(wider)
        self.relu2 = nn.ReLU()
        self.shortcut = nn.Identity() if stride == 1 else Subsample(channels, wider)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Return the map that the next block receives."""
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu2(y + self.shortcut(x))


class SmallResNet(nn.Module):
    """A residual network for images of 8 pixels and more.

    Args:
        depth: Layers with weights, 6n + 2.
        classes: Length of the output.
        width: Channels of the first stage.

    Raises:
        OptionError: ``depth`` is not 6n + 2, or ``classes`` or ``width`` is not positive.

    Example:
        >>> import torch
        >>> SmallResNet(8, classes=10)(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(self, depth: int, *, classes: int, width: int = 16) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise OptionError(f"depth: got {depth}, expected 6n + 2 with n at least 1: 8, 14, 20, ...")
        for name, value in (("classes", classes), ("width", width)):
            if not isinstance(value, int) or value < 1:
                raise OptionError(f"{name}: got {value!r}, expected a whole number of at least 1")
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, width, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.layer1 = _stage(width, width, blocks, stride=1)
        self.layer2 = _stage(width, 2 * width, blocks, stride=2)
        self.layer3 = _stage(2 * width, 4 * width, blocks, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(4 * width, classes)
        self.apply(_initialise)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b q"]:
        """Return logits."""
        if x.ndim != 4 or min(x.shape[2:]) < SMALLEST:
            raise ShapeError(
                f"SmallResNet: got a tensor of shape {tuple(x.shape)}, expected images (B, 3, H, W) "
                f"with H and W of at least {SMALLEST} pixels. Enlarge them with size={SMALLEST} or more."
            )
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(self.flatten(self.avgpool(x)))


def _stage(channels: int, wider: int, blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(channels, wider, stride)
    return nn.Sequential(first, *(BasicBlock(wider, wider, 1) for _ in range(blocks - 1)))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


for _depth in DEPTHS:
    models.register(f"resnet{_depth}")(functools.partial(SmallResNet, _depth))
