"""Residual blocks with a place for a mechanism."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Literal, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import ShapeError
from foveate.mechanisms.base import Mechanism

Placement = Literal["standard", "pre", "post", "identity", "inner", "replace", "stage"]
Attend = Callable[..., nn.Module]


class Width(NamedTuple):
    """The channels of a bottleneck's three convolutions, and what else they differ in.

    Args:
        first: Channels after the first 1 x 1 convolution.
        inner: Channels after the 3 x 3 convolution.
        out: Channels that go out.
        groups: Groups of the 3 x 3 convolution.
        shortcut: Width and height of the shortcut's convolution.
    """

    first: int
    inner: int
    out: int
    groups: int
    shortcut: int


class Residual(nn.Module):
    """A branch of convolutions, a shortcut around it, and perhaps a mechanism somewhere.

    Attributes:
        placement: Where the mechanism sits; None without one.
        attention: The mechanism; None without one.
        out_channels: Channels that go out.
    """

    placement: Placement | None
    attention: nn.Module
    downsample: nn.Module | None
    relu: nn.Module
    out_channels: int

    @abstractmethod
    def branch(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Return what is added to the shortcut."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Return the map that the next block receives."""
        y = self.branch(self.attention(x) if self.placement == "pre" else x)
        if self.placement == "standard":
            y = self.attention(y)
        if self.placement == "identity":
            x = self.attention(x)
        y = self.relu(y + (x if self.downsample is None else self.downsample(x)))
        return self.attention(y) if self.placement == "post" else y

    def _inner(self, x: Tensor) -> Tensor:
        return self.attention(x) if self.placement == "inner" else x


class BasicBlock(Residual):
    """Two 3 x 3 convolutions and a shortcut around them.

    Args:
        channels: Channels that come in.
        width: Channels that go out.
        stride: 1 keeps the size, 2 halves it.
        placement: Where the mechanism sits; None for a block without one.
        attend: Builds it for a number of channels.
    """

    def __init__(
        self, channels: int, width: int, stride: int, placement: Placement | None, attend: Attend
    ) -> None:
        super().__init__()
        self.placement, self.out_channels = placement, width
        self.conv1 = nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        if placement is not None:
            self.attention = attend(channels if placement in ("pre", "identity") else width)
        self.downsample = _shortcut(channels, width, stride, 1)

    def branch(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Return what is added to the shortcut."""
        y = self._inner(self.relu(self.bn1(self.conv1(x))))
        return self.bn2(self.conv2(y))


class Bottleneck(Residual):
    """A 1 x 1, a 3 x 3 and a 1 x 1 convolution, and a shortcut around them.

    Args:
        channels: Channels that come in.
        width: Those of the three convolutions.
        strides: Of the first and of the second; 1 keeps the size, 2 halves it.
        placement: Where the mechanism sits; None for a block without one.
        attend: Builds it for a number of channels; with the arguments of the convolution that it replaces.
    """

    def __init__(
        self,
        channels: int,
        width: Width,
        strides: tuple[int, int],
        placement: Placement | None,
        attend: Attend,
    ) -> None:
        super().__init__()
        first, inner, out, groups, shortcut = width
        self.placement, self.out_channels = placement, out
        self.conv1 = nn.Conv2d(channels, first, 1, stride=strides[0], bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.relu = nn.ReLU(inplace=True)
        if placement != "replace":
            self.conv2 = nn.Conv2d(first, inner, 3, stride=strides[1], padding=1, groups=groups, bias=False)
            self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        if placement == "replace":
            self.attention = attend(first, out_channels=inner, stride=strides[1], groups=groups)
        elif placement is not None:
            self.attention = attend(
                {"pre": channels, "identity": channels, "inner": inner}.get(placement, out)
            )
        self.downsample = _shortcut(channels, out, strides[0] * strides[1], shortcut)

    def branch(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Return what is added to the shortcut."""
        y = self.relu(self.bn1(self.conv1(x)))
        if self.placement == "replace":
            y = self.attention(y)
        else:
            y = self._inner(self.relu(self.bn2(self.conv2(y))))
        return self.bn3(self.conv3(y))


def _shortcut(channels: int, out: int, stride: int, kernel_size: int) -> nn.Sequential | None:
    if stride == 1 and channels == out:
        return None
    conv = nn.Conv2d(channels, out, kernel_size, stride=stride, padding=kernel_size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out))


def initialise(module: nn.Module) -> None:
    """Initialise the network's own convolutions; mechanisms keep the initialisation of their papers."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    for child in module.children():
        if not isinstance(child, Mechanism):
            initialise(child)


def check_images(network: nn.Module, x: Tensor) -> None:
    """Raise a ShapeError unless ``x`` is a batch of colour images."""
    if x.ndim != 4 or x.shape[1] != 3:
        raise ShapeError(
            f"{type(network).__name__}: got a tensor of shape {tuple(x.shape)}, expected images "
            "(B, 3, H, W). Repeat the channel of a grey image three times."
        )
