"""MobileViT block: a transformer over patches, between convolutions that see the neighbours.

Formula y = g([x; f(T(W_1 f_3(x)))]), f, f_3, g = 1x1, 3x3, 3x3 convolution, BN and SiLU; in T positions at
        the same place of their 2x2 patches attend to each other: z += MHA(LN(z)), z += MLP(LN(z)), twice,
        LN
Paper   Mehta, Rastegari. MobileViT: Light-weight, General-purpose, and Mobile-friendly Vision Transformer.
        ICLR 2022. arXiv:2110.02178, section 3.1.
Shapes  x (B, C, H, W) -> (B, C, H, W); map of each layer (B, P*K, M, M), P = 4 places, K heads, M patches,
        places first; rows sum to 1, formed only while recording.
Cost    with D = width, L = depth, E = expansion, N = P*M padded positions: parameters 27*C*C + 2*D*C + 6*C
        + L*((4 + 2*E)*D*D + (9 + E)*D) + 2*D, MACs H*W*(27*C*C + 2*C*D) + L*N*((4 + 2*E)*D*D + 2*M*D); 24*C
        + 24 bytes of running statistics. Memory grows with N.
Differs none from the authors' code, which resizes maps that the patches do not divide (bilinear) and
        back. No dropout.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.batch_norm import BatchNorm
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.memory_layout import like_input
from foveate.mechanisms.kernels.resizing import stretched
from foveate.mechanisms.kernels.softmax_attention import attend
from foveate.mechanisms.map_tap import MapTap
from foveate.options import heads_of, whole


class Layer(nn.Module):
    """One transformer layer over the patches, the same for each place in a patch.

    Args:
        width: D of the tokens.
        heads: Number of heads; divides ``width``.
        expansion: How many times wider the hidden layer of the MLP is.
    """

    def __init__(self, width: int, heads: int, expansion: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)  # queries, keys, values
        self.merge = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, expansion * width),
            nn.SiLU(),
            nn.Linear(expansion * width, width),
        )
        self.map = MapTap("b k p m", sums="m")

    def forward(self, z: Float[Tensor, "b p m d"]) -> Float[Tensor, "b p m d"]:
        """Return ``z`` after attention and MLP."""
        projected = self.project(self.norm(z)).unflatten(3, (3, self.heads, -1))
        query, key, value = projected.permute(3, 0, 1, 4, 2, 5).flatten(2, 3)  # (B, P*K, M, d) each
        context = attend(query, key, value, self.map, scale=query.shape[-1] ** -0.5)
        z = z + self.merge(context.unflatten(1, (-1, self.heads)).transpose(2, 3).flatten(3))
        return z + self.mlp(z)


def _convolve(channels: int, out: int, kernel_size: int) -> nn.Sequential:
    conv = nn.Conv2d(channels, out, kernel_size, padding=kernel_size // 2, bias=False)
    return nn.Sequential(conv, BatchNorm(out), nn.SiLU())


@mechanisms.register("mobilevit")
class MobileViTBlock(Refine):
    """Replace a map by what convolutions and a small transformer over its patches see in it.

    Args:
        channels: C of the map that it will receive.
        patch: Width and height of a patch, in positions. Paper: 2.
        depth: Number of transformer layers. Paper: 2, 4 and 3 in its three blocks.
        heads: Number of heads; must divide the width. None takes the most that do, up to the paper's 4.
        width: D of the tokens. None takes the paper's 1.5 C, but a multiple of 4.
        expansion: How many times wider the hidden layer of the MLP is. Paper: 2.

    Raises:
        OptionError: ``heads`` does not divide the width.

    Example:
        >>> import torch
        >>> MobileViTBlock(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("positions", "heads"), driven_by="input", weighting="soft", sites=("features", "bottleneck")
    )
    variants = {"patch": 4, "depth": 1, "heads": 2, "width": 8, "expansion": 3}

    def __init__(
        self,
        channels: int,
        *,
        patch: int = 2,
        depth: int = 2,
        heads: int | None = None,
        width: int | None = None,
        expansion: int = 2,
    ) -> None:
        super().__init__()
        self.channels, self.patch = whole("channels", channels), whole("patch", patch)
        self.width = -(-3 * channels // 8) * 4 if width is None else whole("width", width)
        self.depth, self.expansion = whole("depth", depth), whole("expansion", expansion)
        self.local = _convolve(channels, channels, 3)
        self.embed = nn.Conv2d(channels, self.width, kernel_size=1, bias=False)
        heads = heads_of(self.width, heads, most=4)
        self.layers = nn.Sequential(*(Layer(self.width, heads, expansion) for _ in range(depth)))
        self.norm = nn.LayerNorm(self.width)
        self.merge = _convolve(self.width, channels, 1)
        self.fuse = _convolve(2 * channels, channels, 3)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return the map of the last convolution."""
        self._check(x)
        near = self.embed(self.local(x))
        down, along = (
            (side + self.patch - 1) // self.patch for side in x.shape[2:]
        )  # patches in a column, row
        even = stretched(near, self.patch * down, self.patch * along)
        cut = even.unflatten(3, (along, self.patch)).unflatten(2, (down, self.patch))  # (B, D, h, p, w, p)
        seen = self.norm(self.layers(cut.permute(0, 3, 5, 2, 4, 1).flatten(3, 4).flatten(1, 2)))
        laid = seen.unflatten(2, (down, along)).unflatten(1, (self.patch, self.patch))  # (B, p, p, h, w, D)
        far = laid.permute(0, 5, 3, 1, 4, 2).flatten(4, 5).flatten(2, 3)
        far = self.merge(stretched(far, x.shape[2], x.shape[3]))
        return like_input(self.fuse(torch.cat([x, far.to(x.dtype)], dim=1)), x)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        patches = -(-height // self.patch) * -(-width // self.patch)
        dense = (4 + 2 * self.expansion) * self.width**2
        convolutions = 27 * self.channels**2 + 2 * self.channels * self.width
        biases = self.depth * (9 + self.expansion) * self.width + 2 * self.width + 6 * self.channels
        parameters = convolutions + self.depth * dense + biases
        attended = self.depth * self.patch**2 * patches * (dense + 2 * patches * self.width)
        macs = height * width * convolutions + attended
        return Cost(parameters, macs, bytes=4 * (parameters + 6 * self.channels) + 3 * 8)
