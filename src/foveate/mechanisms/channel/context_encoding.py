"""Context encoding: gates for the channels, from how far all positions lie from a few learnt codewords.

Formula z = relu(BN(W1 x)), a_ik = softmax_k(s_k |z_i - d_k|^2), e_k = sum_i a_ik (z_i - d_k),
        e = mean_k relu(BN(e_k)); y = relu(x * (1 + sigmoid(W2 e + b2)))
Paper   Zhang, Dana, Shi, Zhang, Wang, Tyagi, Agrawal. Context Encoding for Semantic Segmentation. CVPR 2018.
        arXiv:1803.08904, sections 3 and 4.
Shapes  x (B, C, H, W) -> (B, C, H, W); maps codes (B, N, K), N = H*W, which sum to 1 over the codewords, and
        gates map (B, C, 1, 1) in (0, 1).
Cost    with K = codewords: parameters 2*C*C + 3*C + K*C + 3*K, MACs (C*C + 2*K*C)*H*W + C*C;
        8*C + 8*K + 16 bytes of running statistics.
Differs none in the output; the N*K differences z_i - d_k are never formed. The layer by which the
        paper predicts which classes are present is not part of it, as a map comes out: put
        nn.Linear(C, classes) on ``encode(x)`` for its loss.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.batch_norm import BatchNorm
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.memory_layout import tokens
from foveate.mechanisms.kernels.pointwise_convolution import project
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import full_precision, precise, widen
from foveate.mechanisms.ranks import any_rank
from foveate.options import whole


@mechanisms.register("context_encoding")
@any_rank
class ContextEncoding(Refine):
    """Raise each channel by up to twice, by a code of what the whole map consists of.

    Args:
        channels: C of the map that it will receive.
        codewords: How many codewords there are, K. Paper: 32.

    Raises:
        OptionError: An option is out of range.

    Example:
        >>> import torch
        >>> ContextEncoding(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(over=("channels",), driven_by="input", weighting="soft", sites=("features", "bottleneck"))
    variants = {"codewords": 8}

    def __init__(self, channels: int, *, codewords: int = 32) -> None:
        super().__init__()
        self.channels, self.codewords = whole("channels", channels), whole("codewords", codewords)
        self.project = nn.Conv2d(channels, channels, kernel_size=1, bias=False)
        self.norm = BatchNorm(channels)
        self.centres = nn.Parameter(torch.empty(codewords, channels))
        self.smoothing = nn.Parameter(torch.empty(codewords))
        self.code_norm = BatchNorm(codewords)
        self.excite = nn.Linear(channels, channels)
        self.codes, self.map = MapTap("b n m", sums="m"), MapTap("b c 1 1")
        bound = (codewords * channels) ** -0.5
        nn.init.uniform_(self.centres, -bound, bound)
        nn.init.uniform_(self.smoothing, -1, 0)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` times one plus the gate of its channel, without what is negative."""
        self._check(x)
        return self.raised(x, self._code(x))

    def raised(self, x: Float[Tensor, "b c h w"], code: Float[Tensor, "b c"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` times one plus the gates that a code gives; the second half of ``forward``."""
        gates = self.map(precise(self.excite, widen(code)).sigmoid()[:, :, None, None])
        return (x * (1 + gates).to(x.dtype)).relu()

    def encode(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        """Return the code of the map: the mean over the codewords of what is left of them."""
        return self._code(x).to(x.dtype)

    def _code(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        z = widen(tokens(self.norm(project(self.project, x)).relu()))
        with full_precision(x):  # sums over all positions outgrow half precision
            return self.code_norm(self._residuals(z).unsqueeze(3)).relu().mean(dim=1).squeeze(2)

    def _residuals(self, z: Float[Tensor, "b n c"]) -> Float[Tensor, "b k c"]:
        """Return the sum of the differences to each codeword, weighed by the nearness to it."""
        centres = widen(self.centres)
        lengths = z.square().sum(dim=2, keepdim=True) + centres.square().sum(dim=1)
        distances = lengths - 2 * (z @ centres.T)
        weights = self.codes((widen(self.smoothing) * distances).softmax(dim=2))
        return weights.transpose(1, 2) @ z - weights.sum(dim=1).unsqueeze(2) * centres

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        channels, codewords = self.channels, self.codewords
        parameters = 2 * channels**2 + 3 * channels + codewords * channels + 3 * codewords
        macs = channels * ((channels + 2 * codewords) * height * width + channels)
        return Cost(parameters, macs, bytes=4 * parameters + 8 * channels + 8 * codewords + 16)
