"""Pyramid squeeze attention: convolutions of growing kernel, each channel slot choosing among them.

Formula F_i = conv of size 2i+1 (x) with C/S channels; e_i = sigmoid(W2_i relu(W1_i mean_hw(F_i) + b1_i) +
        b2_i); a = softmax_i(e_i); y = [a_1 * F_1; ...; a_S * F_S]
Paper   Zhang, Zu, Lu, Zou, Meng. EPSANet: An Efficient Pyramid Squeeze Attention Block on Convolutional
        Neural Network. ACCV 2022. arXiv:2105.14447, section 3.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, S, C/S, 1, 1), sums to 1 over the S kernels.
Cost    with D = C/S, R = max(1, D // reduction), k_i = 2i+1 and G_i = 1, 4, 8, 16 groups (or as many of
        them as divide D): weights of the convolutions V = sum_i k_i*k_i*C*D/G_i; parameters V + S*(2*D*R +
        D + R), with shared_gates=True V + 2*D*R + D + R; MACs V*H*W + S*2*D*R.
Differs each split has a gate network of its own, as the paper draws them; the authors' code shares one among
        all splits and joins the weighted splits in reverse (shared_gates=True, reverse=True). The softmax is
        over gates, not logits, in paper and code: with S = 4 no weight leaves (0.10, 0.48). The groups follow
        the code; the paper's rule gives the first kernel 2.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.gating import gated
from foveate.mechanisms.kernels.reductions import mean
from foveate.mechanisms.map_tap import MapTap
from foveate.options import flag, reduced, whole


class ScaleGate(nn.Module):
    """Squeeze and excite one split: (B, D, H, W) to gates (B, D, 1, 1) in (0, 1).

    Args:
        channels: D of the split.
        hidden: Channels of the hidden layer.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, hidden, kernel_size=1)
        self.excite = nn.Conv2d(hidden, channels, kernel_size=1)

    def forward(self, x: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d 1 1"]:
        """Return the gates."""
        gates: Tensor = self.excite(self.squeeze(mean(x, 2, 3)).relu()).sigmoid()
        return gates


@mechanisms.register("pyramid_squeeze")
class PyramidSqueezeAttention(Refine):
    """Convolve with several kernel sizes and weigh the results against each other, slot by slot.

    Args:
        channels: C of the map that it will receive; a multiple of ``splits``.
        splits: S, how many kernel sizes: 3, 5, 7 and so on. Paper: 4.
        reduction: How many times narrower the hidden layers are than a split. Paper: 16.
        shared_gates: Whether one gate network weighs all splits. Authors: True.
        reverse: Whether the split of the largest kernel comes out first. Authors: True.

    Raises:
        OptionError: ``splits`` does not divide the channels.

    Example:
        >>> import torch
        >>> PyramidSqueezeAttention(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(over=("scales",), driven_by="input", weighting="soft", sites=("features",))
    variants = {"splits": 2, "reduction": 1, "shared_gates": True, "reverse": True}

    def __init__(
        self,
        channels: int,
        *,
        splits: int = 4,
        reduction: int = 16,
        shared_gates: bool = False,
        reverse: bool = False,
    ) -> None:
        super().__init__()
        self.channels, self.splits = channels, whole("splits", splits)
        if whole("channels", channels) % splits:
            raise OptionError(f"splits: got {splits}, expected a divisor of channels={channels}")
        self.width = channels // splits
        self.hidden = reduced(self.width, reduction)
        self.convolutions = nn.ModuleList(self._convolution(i) for i in range(1, splits + 1))
        self.reverse = flag("reverse", reverse)
        networks = 1 if flag("shared_gates", shared_gates) else splits
        self.gates = nn.ModuleList(ScaleGate(self.width, self.hidden) for _ in range(networks))
        self.map = MapTap("b s m 1 1", sums="s")

    def _convolution(self, i: int) -> nn.Conv2d:
        groups = math.gcd(1 if i == 1 else 2**i, self.width)
        return nn.Conv2d(
            self.channels, self.width, kernel_size=2 * i + 1, padding=i, groups=groups, bias=False
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return the weighted splits, one after the other."""
        self._check(x)
        splits = [convolution(x) for convolution in self.convolutions]
        networks = [self.gates[i % len(self.gates)] for i in range(self.splits)]
        gates = [gate(split) for gate, split in zip(networks, splits, strict=True)]
        weights = self.map(torch.stack(gates, dim=1).softmax(dim=1)).to(splits[0].dtype)
        if self.reverse:
            splits, weights = splits[::-1], weights.flip(1)
        return gated(torch.cat(splits, dim=1), weights.flatten(1, 2))

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return weights in the authors' names (EPSANet's ``PSAModule``) under our own."""
        return {_ours(name): value for name, value in state.items()}

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        convolutions = sum(each.weight.numel() for each in self.convolutions)  # type: ignore[operator,misc]
        gate = 2 * self.width * self.hidden
        parameters = convolutions + len(self.gates) * (gate + self.width + self.hidden)
        macs = convolutions * height * width + self.splits * gate
        return Cost(parameters, macs=macs, bytes=4 * parameters)


def _ours(name: str) -> str:
    number = re.match(r"conv_(\d+)\.", name)
    if number:
        return f"convolutions.{int(number[1]) - 1}.{name[number.end() :]}"
    return name.replace("se.fc1.", "gates.0.squeeze.").replace("se.fc2.", "gates.0.excite.")
