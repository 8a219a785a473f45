"""Gather-excite: each value is gated by what its channel holds around it, as far as the extent goes.

Formula y = x * sigmoid(nearest(excite(gather(x)))); gather: BN(sum_hw w_c x_c * s*s / (H*W)) (extent=0, w_c
        an s x s kernel resized to H x W), or log2(extent) depthwise 3x3 convolutions of stride 2, each
        normalised, with ReLU between them; excite(v) = W2 relu(W1 v + b1) + b2
Paper   Hu, Shen, Albanie, Sun, Vedaldi. Gather-Excite: Exploiting Feature Context in Convolutional Neural
        Networks. NeurIPS 2018. arXiv:1810.12348, section 3.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, C, 1, 1), with an extent (B, C, H, W), gates in (0, 1).
Cost    with R = max(1, C // reduction): parameters 2*C*R + C + R (mlp) + C*(s*s + 2) (parameters, extent 0),
        or + 11*C a convolution; MACs 2*C*R (mlp), with an extent that times the gathered positions,
        + 9*C*H'*W' a convolution to H' x W'; 8*C + 8 bytes of running statistics a normalisation.
Differs the paper ties the global kernel to the size of one map; ours has a size of its own (size=) and is
        resized, its sum scaled by s*s / (H*W), which is 1 at that size. parameters=False gathers by mean
        pooling, with an extent in windows of 2*extent - 1 of which padding is not counted. The paper calls
        the default theta+, mlp=False theta, and parameters=False as well theta-.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from foveate.errors import OptionError
from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.batch_norm import BatchNorm
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.gating import gated
from foveate.mechanisms.map_tap import MapTap
from foveate.options import reduced, whole


@mechanisms.register("gather_excite")
class GatherExcite(Refine):
    """Gate each value by its channel's summary of the map, or of the neighbourhood.

    Args:
        channels: C of the map that it will receive.
        extent: How many times smaller the gathered map is: 2, 4, 8, ...; 0 for one value for the whole map.
        parameters: Whether the gathering is learnt. Paper: yes (theta, theta+) or no (theta-).
        size: Width and height of the learnt kernel for the whole map, in positions; for other maps than
            that it is resized.
        mlp: Whether two layers over the channels follow, as in squeeze-and-excitation. Paper: yes (theta+).
        reduction: How many times narrower the hidden one of these layers is. Paper: 16.

    Raises:
        OptionError: An option is out of range.

    Example:
        >>> import torch
        >>> GatherExcite(64, extent=4)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("channels",), driven_by="input", weighting="soft", sites=("features", "skip", "pool")
    )
    variants = {"extent": 4, "parameters": False, "size": 5, "mlp": False, "reduction": 4}

    def __init__(
        self,
        channels: int,
        *,
        extent: int = 0,
        parameters: bool = True,
        size: int = 7,
        mlp: bool = True,
        reduction: int = 16,
    ) -> None:
        super().__init__()
        if whole("extent", extent, least=0) == 1 or extent & (extent - 1):
            raise OptionError(f"extent: got {extent}, expected 0 or a power of two from 2")
        self.channels, self.extent, self.mlp = channels, extent, mlp
        self.hidden = reduced(channels, reduction)
        self.size, self.parameterised = whole("size", size), parameters
        self.gather = gatherer(channels, extent, size) if parameters else mean_pool(extent)
        self.excite = (
            nn.Sequential(
                nn.Conv2d(channels, self.hidden, kernel_size=1),
                nn.ReLU(),
                nn.Conv2d(self.hidden, channels, kernel_size=1),
            )
            if mlp
            else nn.Identity()
        )
        self.map = MapTap("b c h w" if extent else "b c 1 1")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` with every value multiplied by its gate."""
        self._check(x)
        gates = self.excite(self.gather(x)).sigmoid()
        if self.extent:
            gates = interpolate(gates, size=x.shape[2:], mode="nearest")
        return gated(x, self.map(gates))

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        channels, steps = self.channels, max(0, self.extent.bit_length() - 1)
        parameters, macs, norms = 0, 0, 0
        if self.parameterised:
            norms = steps or 1
            parameters = 11 * channels * steps or channels * (self.size**2 + 2)
        for _ in range(steps):  # mean pooling of any extent leaves as many positions
            height, width = (height + 1) // 2, (width + 1) // 2
            macs += 9 * channels * height * width * self.parameterised
        if self.mlp:
            parameters += 2 * channels * self.hidden + channels + self.hidden
            macs += 2 * channels * self.hidden * (height * width if self.extent else 1)
        return Cost(parameters, macs, bytes=4 * parameters + norms * (8 * channels + 8))


class GlobalGather(nn.Module):
    """Sum each channel over the whole map, weighed by a kernel of its own that is resized to the map.

    Args:
        channels: C of the map that it will receive.
        size: Width and height of the kernel.
    """

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.kernel = nn.Conv2d(channels, channels, size, groups=channels, bias=False).weight
        self.norm = BatchNorm(channels)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c 1 1"]:
        """Return the normalised sums."""
        height, width = x.shape[2:]
        kernel = self.kernel.transpose(0, 1)  # (1, C, s, s)
        share = kernel.shape[2] * kernel.shape[3] / (height * width)
        kernel = interpolate(kernel, size=(height, width), mode="bilinear", align_corners=False)
        return self.norm((x * (share * kernel).to(x.dtype)).sum(dim=(2, 3), keepdim=True))


class MeanGather(nn.Module):
    """Average each channel over the whole map."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c 1 1"]:
        """Return the means."""
        return x.mean(dim=(2, 3), keepdim=True)


def mean_pool(extent: int) -> nn.Module:
    """Return what averages over the whole map, or over windows that overlap, in steps of ``extent``."""
    if extent == 0:
        return MeanGather()
    return nn.AvgPool2d(2 * extent - 1, extent, padding=extent - 1, count_include_pad=False)


def gatherer(channels: int, extent: int, size: int) -> nn.Module:
    """Return the learnt counterpart of ``mean_pool``."""
    if extent == 0:
        return GlobalGather(channels, size)
    layers: list[nn.Module] = []
    for _ in range(extent.bit_length() - 1):
        conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1, groups=channels, bias=False)
        layers += [conv, BatchNorm(channels), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
