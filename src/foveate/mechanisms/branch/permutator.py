"""Vision permutator: mixing along the height, the width and across channels, weighed channel by channel.

Formula X_h = M_h applied to all (row, slot) of a column and segment; X_w = M_w likewise along a row; X_c =
        W_c x; a = softmax_i(W2 gelu(W1 mean_hw(X_h + X_w + X_c) + b1) + b2); y = W3 sum_i a_i * X_i + b3
Paper   Hou, Jiang, Yuan, Cheng, Yan, Feng. Vision Permutator: A Permutable MLP-Like Architecture for Visual
        Recognition. TPAMI 2023. arXiv:2106.12368, section 3.2.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, 3, C, 1, 1) for height, width, channels, sums to 1 over the
        three.
Cost    with L = size, S = C / gcd(C, L) slots a segment, R = max(1, C // reduction): parameters 2*C*C + C +
        2*L*L*S*S + 4*C*R + R + 3*C; MACs 2*C*C*H*W + 4*C*R + W*C*(L*L*S + 2*L*H) + H*C*(L*L*S + 2*L*W),
        where the 2*L*H is missing for H = L and the 2*L*W for W = L.
Differs the authors' layers fit maps of L x L only, cut into L segments. Elsewhere ours act as if their
        weights had been resized (bilinear, half-pixel centres) along both places, times L/H or L/W: the map
        is averaged to L places, mixed and spread again, so that the weights of H x H places are never
        formed. Where L does not divide C there are gcd(C, L) segments.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.gating import mixture
from foveate.mechanisms.kernels.reductions import mean
from foveate.mechanisms.kernels.resizing import line_resizing
from foveate.mechanisms.map_tap import MapTap
from foveate.options import reduced, whole


class LineMixing(nn.Module):
    """Mix all places of a line, and the slots of a segment, by one matrix.

    Args:
        channels: C of the map.
        size: L, the places that the matrix has.
    """

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.size, self.segments = size, math.gcd(channels, size)
        self.slots = channels // self.segments
        self.mix = nn.Linear(size * self.slots, size * self.slots, bias=False)

    def forward(self, x: Float[Tensor, "b c m n"]) -> Float[Tensor, "b c m n"]:
        """Return ``x`` mixed along its last axis."""
        length = x.shape[3]
        matrix = line_resizing(length, self.size, x)
        lines = x if matrix is None else F.linear(x, matrix.T * (self.size / length))
        lines = lines.unflatten(1, (self.segments, self.slots)).permute(0, 1, 3, 4, 2)  # (B, G, M, L, S)
        lines = self.mix(lines.flatten(3)).unflatten(3, (self.size, self.slots))
        lines = lines.permute(0, 1, 4, 2, 3).flatten(1, 2)
        return lines if matrix is None else F.linear(lines, matrix)

    def macs(self, length: int, lines: int) -> int:
        """Return the multiply-adds for ``lines`` lines of ``length`` places."""
        channels = self.segments * self.slots
        resizing = 0 if length == self.size else 2 * self.size * length
        return lines * channels * (self.size**2 * self.slots + resizing)


@mechanisms.register("permutator")
class VisionPermutator(Refine):
    """Mix along the height, the width and across channels, and let each channel choose among the three.

    Args:
        channels: C of the map that it will receive.
        size: Height and width of the maps that the two line mixings are made for, in positions; any other
            size is resized on the way.
        reduction: How many times narrower the hidden layer of the weights is. Paper: 4.

    Example:
        >>> import torch
        >>> VisionPermutator(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(over=("branches", "channels"), driven_by="input", weighting="soft", sites=("features",))
    variants = {"size": 4, "reduction": 2}

    def __init__(self, channels: int, *, size: int = 8, reduction: int = 4) -> None:
        super().__init__()
        self.channels, self.hidden = channels, reduced(channels, reduction)
        self.height, self.width = (LineMixing(channels, whole("size", size)) for _ in range(2))
        self.across = nn.Conv2d(channels, channels, kernel_size=1, bias=False)
        self.squeeze = nn.Conv2d(channels, self.hidden, kernel_size=1)
        self.select = nn.Conv2d(self.hidden, 3 * channels, kernel_size=1)
        self.output = nn.Conv2d(channels, channels, kernel_size=1)
        self.map = MapTap("b s c 1 1", sums="s")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return the mixed map."""
        self._check(x)
        along_height = self.height(x.transpose(2, 3)).transpose(2, 3)
        branches = [along_height, self.width(x), self.across(x)]
        means = sum((mean(branch, 2, 3) for branch in branches[1:]), mean(branches[0], 2, 3))
        logits = self.select(F.gelu(self.squeeze(means))).unflatten(1, (self.channels, 3)).transpose(1, 2)
        weights = self.map(logits.softmax(dim=1))
        # Across channels first: a convolution keeps the layout of x, and a sum has that of its first term.
        mixed: Tensor = self.output(mixture(branches[::-1], weights.flip(1)))
        return mixed

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        c, dense = self.channels, 2 * self.channels**2
        weighing = 4 * c * self.hidden
        lines = 2 * (self.height.size * self.height.slots) ** 2
        parameters = dense + c + lines + weighing + self.hidden + 3 * c
        macs = (
            dense * height * width
            + weighing
            + self.height.macs(height, width)
            + self.width.macs(width, height)
        )
        return Cost(parameters, macs, bytes=4 * parameters)
