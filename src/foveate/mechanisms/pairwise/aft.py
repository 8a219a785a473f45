"""Attention-free transformer: keys weigh all positions once for every channel, and distances reweigh them.

Formula y_i = x_i + sigmoid(q_i) * sum_j exp(w_ij) a_j v_j / sum_j exp(w_ij) a_j, a = softmax_j(k_j) for
        each channel, q, k, v = linear layers of LN(x); AFT-conv: w_ij = g z(W)[j - i] + b in a window and 0
        outside, z to mean 0 and variance 1, W, g, b for each head; AFT-full: w a table; AFT-local: a table
        in a window, 0 outside; AFT-simple: w = 0
Paper   Zhai, Talbott, Srivastava, Huang, Goh, Zhang, Susskind. An Attention Free Transformer. 2021.
        arXiv:2105.14103, section 3.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, C, H, W), the content's part a of the weights, sums to 1
        over all positions; gates (B, C, H, W), sigmoid(q).
Cost    with P = kernel_size^2: parameters 3*C*C, + 3*C with bias, + 2*C with norm, + K*(P + 2) with K heads
        (AFT-conv), or + size^4; MACs 3*N*C*C, N = H*W, + 2*N*P*C (AFT-conv), or + 2*N*N*C with size. Memory
        grows with N, with size with N*N (one table for all images and channels).
Differs AFT-conv is the default: it takes any size, knows distances, and its memory grows with N. The table
        is learned as it is, where the paper takes products of two vectors, and resized (bilinear) to the
        given map.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.memory_layout import like_input, tokens, untoken
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import full_precision, widen
from foveate.options import heads_of, odd, whole


@mechanisms.register("aft")
class AttentionFreeTransformer(Refine):
    """Gate at each position, with its query, the mean of all values that keys and distances weigh.

    ``kernel_size`` alone is AFT-conv, ``size`` alone AFT-full, both AFT-local, neither AFT-simple.

    Args:
        channels: C of the map that it will receive.
        kernel_size: Width and height of the window where distances count, in positions; odd, at least 3. None
            has no window. Paper: 11.
        size: Height and width, in positions, of the maps that a table of all pairs is learned for, resized to
            others; None has no table.
        heads: Sets of channels with a window each; must divide ``channels``. None takes the most, up to 32.
        norm: Whether a layer normalisation comes first.
        bias: Whether the linear layers have biases.
        residual: Whether ``x`` is added to the result.

    Raises:
        OptionError: ``heads`` does not divide ``channels``, or ``kernel_size`` is even or 1.

    Example:
        >>> import torch
        >>> AttentionFreeTransformer(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("positions", "channels"),
        driven_by="input",
        weighting="soft",
        sites=("features", "skip", "bottleneck"),
    )
    variants = {
        "kernel_size": None,
        "size": 6,
        "heads": 2,
        "norm": False,
        "bias": False,
        "residual": False,
    }

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int | None = 11,
        size: int | None = None,
        heads: int | None = None,
        norm: bool = True,
        bias: bool = True,
        residual: bool = True,
    ) -> None:
        super().__init__()
        self.channels, self.heads, self.residual = channels, heads_of(channels, heads, most=32), residual
        self.kernel_size = kernel_size
        if kernel_size is not None:
            odd("kernel_size", whole("kernel_size", kernel_size, least=3))
        self.size = None if size is None else whole("size", size)
        self.norm = nn.LayerNorm(channels) if norm else nn.Identity()
        self.project = nn.Linear(channels, 3 * channels, bias=bias)  # queries, keys, values
        if size is not None:
            self.table = nn.Parameter(torch.zeros(size, size, size, size))  # from row, column to row, column
        elif kernel_size is not None:  # gain and shift start at 0, where distances do not count
            self.window = nn.Parameter(torch.randn(self.heads, kernel_size, kernel_size))
            self.gain = nn.Parameter(torch.zeros(self.heads, 1, 1))
            self.shift = nn.Parameter(torch.zeros(self.heads, 1, 1))
        self.map = MapTap("b c h w", sums="h w")
        self.gates = MapTap("b c h w")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` plus the gated means."""
        self._check(x)
        query, key, value = self.project(self.norm(tokens(x))).chunk(3, dim=2)  # (B, N, C) each
        with full_precision(x):
            content = self.map(untoken(widen(key).softmax(dim=1), like=x))
            weighed = content * untoken(widen(value), like=x)
            if self.size is not None:
                means = self._with_table(content, weighed)
            elif self.kernel_size is not None:
                means = self._with_window(content, weighed)
            else:
                means = weighed.sum(dim=(2, 3), keepdim=True)
            read = (self.gates(untoken(query.sigmoid(), like=x)) * means).to(x.dtype)
        return x + read if self.residual else like_input(read, x)

    def _with_window(self, content: Tensor, weighed: Tensor) -> Tensor:
        """Add to the sums over all positions, with exp(0) = 1, what the window makes of exp(w) - 1."""
        window = widen(self.window)
        spread = window.var(dim=(1, 2), correction=0, keepdim=True).sqrt()
        biases = widen(self.gain) * (window - window.mean(dim=(1, 2), keepdim=True)) / spread + widen(
            self.shift
        )
        kernel = biases.expm1().repeat_interleave(self.channels // self.heads, dim=0).unsqueeze(1)
        near, sums = (
            F.conv2d(part, kernel.to(part.dtype), padding=kernel.shape[2] // 2, groups=self.channels)
            for part in (weighed, content)
        )
        # The clamp is for windows near exp(w) = 0, where rounding may take more than there is.
        return (weighed.sum(dim=(2, 3), keepdim=True) + near) / (1 + sums).clamp(min=1e-6)

    def _with_table(self, content: Tensor, weighed: Tensor) -> Tensor:
        biases = self._resized(content.shape[2], content.shape[3]).to(content.dtype)
        raised = (biases - biases.amax(dim=1, keepdim=True)).exp()  # (N, N)
        return untoken((raised @ tokens(weighed)) / (raised @ tokens(content)), like=content)

    def _resized(self, height: int, width: int) -> Float[Tensor, "n m"]:
        """Return the table for a map of another size, and with a window zeros outside it."""
        side, size = self.table.shape[0], (height, width)
        sources = F.interpolate(widen(self.table).flatten(0, 1).unsqueeze(0), size, mode="bilinear")
        places = sources.flatten(2).transpose(1, 2).unflatten(2, (side, side))  # (1, N, S, S)
        biases = F.interpolate(places, size, mode="bilinear").flatten(2).squeeze(0).T
        if self.kernel_size is None:
            return biases
        rows = torch.arange(height, device=biases.device)[:, None].expand(-1, width).flatten()
        columns = torch.arange(width, device=biases.device).expand(height, -1).flatten()
        reach = self.kernel_size // 2
        near = [(place[:, None] - place).abs() <= reach for place in (rows, columns)]
        return biases * (near[0] & near[1])

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        parameters, positions = sum(p.numel() for p in self.parameters()), height * width
        macs = 3 * positions * self.channels**2
        if self.size is not None:
            macs += 2 * positions**2 * self.channels
        elif self.kernel_size is not None:
            macs += 2 * positions * self.kernel_size**2 * self.channels
        return Cost(parameters=parameters, macs=macs, bytes=4 * parameters)
