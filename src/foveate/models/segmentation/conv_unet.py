"""U-Nets of plain convolutions, for images and volumes, with a place for a gate at every skip connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.mechanisms.base import BatchNorm
from foveate.mechanisms.query.attention_gate import AttentionGate
from foveate.models.segmentation.segmenter import Segmenter, resized
from foveate.options import one_of, whole

Kind = Literal["grid", "additive", "monai"]


class Layers(NamedTuple):
    """The layers for images or for volumes.

    Args:
        conv: Convolution.
        transposed: Transposed convolution.
        norm: Batch normalisation.
        pool: Maximum of neighbours.
    """

    conv: type[nn.Conv2d] | type[nn.Conv3d]
    transposed: type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]
    norm: type[nn.BatchNorm2d] | type[nn.BatchNorm3d]
    pool: type[nn.MaxPool2d] | type[nn.MaxPool3d]


class VolumeNorm(nn.BatchNorm3d):
    """Batch normalisation of volumes that also trains on one value per channel, as ``BatchNorm`` does."""

    def forward(self, input: Float[Tensor, "b c d h w"]) -> Float[Tensor, "b c d h w"]:
        """Normalise by the batch, or by the running statistics for one value."""
        if self.training and input.numel() == input.shape[1]:
            kept = (self.running_mean, self.running_var, self.weight, self.bias)
            return nn.functional.batch_norm(input, *kept, training=False, eps=self.eps)
        return super().forward(input)


class EachNorm(nn.Module):
    """Every channel of every image to mean 0 and deviation 1; a single value to 0."""

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        """Return the normalised map."""
        return x * 0 if x[0, 0].numel() == 1 else nn.functional.instance_norm(x)


LAYERS = {
    2: Layers(nn.Conv2d, nn.ConvTranspose2d, BatchNorm, nn.MaxPool2d),
    3: Layers(nn.Conv3d, nn.ConvTranspose3d, VolumeNorm, nn.MaxPool3d),
}


class ConvUNet(Segmenter):
    """Pairs of convolutions down, pairs up, and skip connections that may be gated.

    Args:
        classes: Channels of the output.
        in_channels: Channels of the images.
        kind: ``"grid"``: linear upsampling, and gates driven by the coarser map itself; ``"additive"``:
            nearest upsampling with a convolution, before which gates are asked; ``"monai"``: strided and
            transposed convolutions, and one convolution where maps are joined.
        gates: Gates at each skip connection: 0, 1, or, for ``"grid"``, several side by side.
        dimensions: 2 for images (B, C, H, W), 3 for volumes (B, C, D, H, W).
        widths: Channels at each size, from the finest.
        deep_supervision: For ``"grid"``: whether the logits are mixed from those of every size.

    Raises:
        OptionError: An option has an impossible value.

    Example:
        >>> net = ConvUNet(classes=2, kind="grid", gates=1, dimensions=3, widths=(2, 4, 8)).eval()
        >>> net(torch.rand(1, 3, 5, 9, 7)).shape
        torch.Size([1, 2, 5, 9, 7])
    """

    def __init__(
        self,
        *,
        classes: int,
        in_channels: int = 3,
        kind: Kind = "additive",
        gates: int = 0,
        dimensions: Literal[2, 3] = 2,
        widths: Sequence[int] = (64, 128, 256, 512, 1024),
        deep_supervision: bool = False,
    ) -> None:
        super().__init__(classes, in_channels)
        one_of("kind", kind, ("grid", "additive", "monai"))
        _check(kind, gates, dimensions, widths, deep_supervision)
        self.kind, self.gates, self.dimensions = kind, gates, dimensions
        layers, fine, coarse = LAYERS[dimensions], list(widths[:-1]), list(widths[1:])
        grid, strided = kind == "grid", kind == "monai"
        self.pool = nn.Identity() if strided else layers.pool(2, ceil_mode=True)
        pairs = zip((in_channels, *fine), widths, strict=True)
        self.down = nn.ModuleList(
            _pair(layers, come, out, 2 if strided and number else 1)
            for number, (come, out) in enumerate(pairs)
        )
        self.ask = _layer(layers, widths[-1], widths[-1], 1) if grid and gates else nn.Identity()
        self.ups = nn.ModuleList(
            _up(layers, kind, below, out) for below, out in zip(coarse, fine, strict=True)
        )
        # The authors do not gate the finest skip connection.
        watched = [bool(gates) and not (grid and number == 0) for number in range(len(fine))]
        self.skips = nn.ModuleList(
            _skip(layers, kind, gates, out, below) if watch else nn.Identity()
            for watch, out, below in zip(watched, fine, coarse, strict=True)
        )
        self.joins = nn.ModuleList(
            _merge(layers, 2 * out, out) if strided else _pair(layers, out + (below if grid else out), out)
            for below, out in zip(coarse, fine, strict=True)
        )
        self.sides = nn.ModuleList(layers.conv(out, classes, 1) for out in fine) if deep_supervision else None
        self.head = layers.conv(len(fine) * classes if deep_supervision else fine[0], classes, 1)

    def heads(self, x: Float[Tensor, "b c *space"]) -> dict[str, Float[Tensor, "b q *space"]]:
        """Return the logits."""
        maps = [self.down[0](x)]
        for layer in self.down[1:]:
            maps.append(layer(self.pool(maps[-1])))
        y = maps.pop()
        asking = self.ask(y)
        sides: list[Tensor] = []
        for number in range(len(maps) - 1, -1, -1):
            y = self._beside(number, maps.pop(), y, asking)
            y = self.joins[number](y)
            if self.kind == "grid":
                asking = y
            if self.sides is not None:
                sides.insert(0, resized(self.sides[number](y), x))
        return {"out": self.head(torch.cat(sides, dim=1) if sides else y)}

    def _beside(self, number: int, skip: Tensor, y: Tensor, asking: Tensor) -> Tensor:
        """Return a skip connection, gated, and the coarser map ``y`` at its size, side by side."""
        if self.kind == "grid":
            up = resized(y, skip)
        elif self.kind == "additive":
            up = self.ups[number](nn.functional.interpolate(y, size=skip.shape[2:], mode="nearest"))
        else:
            up = self.ups[number](y)[(..., *(slice(size) for size in skip.shape[2:]))]
        gate = self.skips[number]
        if not isinstance(gate, nn.Identity):
            skip = gate(skip, asking if self.kind == "grid" else up)
        return torch.cat([skip, up], dim=1)

    @property
    def published_normalisation(self) -> None:
        """None: published weights of these networks are not for one kind of image."""
        return


class GridSkip(nn.Module):
    """Parallel gates, and a 1 x 1 convolution of their outputs.

    Args:
        layers: Those for images or volumes.
        channels: Channels of the skip connection.
        gating: Channels of the map that drives the gates.
        gates: How many.
        dimensions: 2 or 3.
    """

    def __init__(self, layers: Layers, channels: int, gating: int, gates: int, dimensions: int) -> None:
        super().__init__()
        self.gates = nn.ModuleList(
            AttentionGate(channels, gating=gating, hidden=channels, dimensions=cast(Any, dimensions))
            for _ in range(gates)
        )
        self.combine = _layer(layers, gates * channels, channels, 1)

    def forward(self, x: Tensor, gating: Tensor) -> Tensor:
        """Return the skip connection, gated."""
        return cast(Tensor, self.combine(torch.cat([gate(x, gating) for gate in self.gates], dim=1)))


def _check(kind: str, gates: int, dimensions: int, widths: Sequence[int], deep_supervision: bool) -> None:
    if dimensions not in LAYERS:
        raise OptionError(f"dimensions: got {dimensions!r}, expected 2 or 3")
    if whole("gates", gates, least=0) > 1 and kind != "grid":
        raise OptionError(f'gates: got {gates}, expected 0 or 1; only kind="grid" has several')
    if deep_supervision and kind != "grid":
        raise OptionError(f'deep_supervision: got True; only kind="grid" has it, not "{kind}"')
    if len(widths) < 2 or any(whole("widths", width) < 1 for width in widths):
        raise OptionError(f"widths: got {widths!r}, expected at least two whole numbers")


def _layer(layers: Layers, channels: int, width: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    conv = layers.conv(channels, width, size, stride=stride, padding=size // 2)
    return nn.Sequential(conv, layers.norm(width), nn.ReLU(inplace=True))


def _pair(layers: Layers, channels: int, width: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(*_layer(layers, channels, width, stride=stride), *_layer(layers, width, width))


def _up(layers: Layers, kind: str, channels: int, width: int) -> nn.Module:
    if kind == "grid":
        return nn.Identity()
    if kind == "additive":
        return _layer(layers, channels, width)
    conv = layers.transposed(channels, width, 3, stride=2, padding=1, output_padding=1)
    return nn.Sequential(conv, layers.norm(width), nn.ReLU(inplace=True))


def _skip(layers: Layers, kind: str, gates: int, channels: int, below: int) -> nn.Module:
    dimensions = 2 if layers is LAYERS[2] else 3
    if kind == "grid":
        return GridSkip(layers, channels, below, gates, dimensions)
    return AttentionGate(channels, gating=channels, kind="additive", dimensions=cast(Any, dimensions))


def _merge(layers: Layers, channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(layers.conv(channels, width, 3, padding=1), EachNorm(), nn.PReLU())
