"""Object context (base OC of OCNet): every position reads at those that belong to the same object.

Formula y = relu(BN(W_y [c; x])), c = W_c sum_j softmax_j(k_i . k_j / sqrt(R)) v_j, with v = W_v x and
        k = relu(BN(W_k x)), query and key alike; kind="context": y = c
Paper   Yuan, Huang, Guo, Zhang, Chen, Wang. OCNet: Object Context for Semantic Segmentation. IJCV 2021.
        arXiv:1809.00916, section 3.
Shapes  x (B, C, H, W) -> (B, C, H, W); map (B, N, N), N = H*W, rows sum to 1, formed only while recording.
Cost    with R = max(1, C // reduction): parameters 3*C*R + 4*R + C, MACs 3*N*C*R + 2*N*N*R; kind="base":
        parameters + 2*C*C + 3*C, MACs + 2*N*C*C. Buffers of the normalisations: 2*R numbers and a counter of
        8 bytes, with kind="base" 2*C numbers and a counter more. Memory grows with N.
Differs plain ReLU after the normalisations, where the authors' in-place layer leaks 1 % (leak=0.01). The
        authors call the layer of the key again for the query, so that its running statistics move twice
        per batch: twice=True. They end in the same place; by default they get there as any layer's do.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.batch_norm import BatchNorm
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.memory_layout import like_input, tokens, untoken
from foveate.mechanisms.kernels.softmax_attention import attend
from foveate.mechanisms.map_tap import MapTap
from foveate.options import flag, one_of, reduced

KINDS = ("base", "context")
MOMENTUM = 0.1  # of running statistics


@mechanisms.register("object_context")
class ObjectContext(Refine):
    """Join to each position what it reads at the positions that are like it.

    The context is zero in a fresh module, whose output is then a function of each position alone.

    Args:
        channels: C of the map that it will receive.
        reduction: How many times narrower keys and values are. Paper: 2.
        kind: "base" joins the context to ``x`` and reduces both to C channels; "context" returns it alone.
        leak: Slope of the activations below zero, in [0, 1].
        dropout: Share of the channels of "base" that are dropped in training, in [0, 1). Paper: 0.05.
        twice: Whether the running statistics of the key move twice a batch. Authors: True.

    Raises:
        OptionError: ``kind`` is unknown, or a number is out of its range.

    Example:
        >>> import torch
        >>> ObjectContext(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("positions",),
        driven_by="input",
        weighting="soft",
        sites=("features", "bottleneck", "output"),
    )
    variants = {"reduction": 4, "kind": "context", "leak": 0.01, "dropout": 0.5, "twice": True}

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 2,
        kind: str = "base",
        leak: float = 0.0,
        dropout: float = 0.05,
        twice: bool = False,
    ) -> None:
        super().__init__()
        one_of("kind", kind, KINDS)
        for name, share in (("leak", leak), ("dropout", dropout)):
            if not 0 <= share < 1:
                raise OptionError(f"{name}: got {share!r}, expected a number in [0, 1)")
        self.channels, self.width, self.kind = channels, reduced(channels, reduction), kind
        activation = nn.LeakyReLU(leak) if leak else nn.ReLU()
        momentum = 1 - (1 - MOMENTUM) ** 2 if flag("twice", twice) else MOMENTUM  # two steps as one
        norm = BatchNorm(self.width, momentum=momentum)
        self.key = nn.Sequential(nn.Conv2d(channels, self.width, 1), norm, activation)
        self.value = nn.Conv2d(channels, self.width, kernel_size=1)
        self.merge = nn.Conv2d(self.width, channels, kernel_size=1)
        nn.init.zeros_(self.merge.weight)
        nn.init.zeros_(self.merge.bias)  # type: ignore[arg-type]
        join = (nn.Conv2d(2 * channels, channels, 1), BatchNorm(channels), activation, nn.Dropout2d(dropout))
        self.join = nn.Sequential(*join) if kind == "base" else None
        self.map = MapTap("b n m", sums="m")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return the context, joined to ``x`` in the base kind."""
        self._check(x)
        key = tokens(self.key(x))  # the query too: who is like me is whom I am like
        read = attend(key, key, tokens(self.value(x)), self.map, scale=self.width**-0.5)
        context = self.merge(untoken(read, like=x))
        return like_input(context if self.join is None else self.join(torch.cat([context, x], dim=1)), x)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        positions, base = height * width, self.kind == "base"
        weights = 3 * self.channels * self.width + 2 * self.channels**2 * base
        parameters = weights + 4 * self.width + self.channels + 3 * self.channels * base
        buffers = 8 * self.width + 8 + (8 * self.channels + 8) * base
        macs = positions * weights + 2 * positions**2 * self.width
        return Cost(parameters=parameters, macs=macs, bytes=4 * parameters + buffers)
