"""Polarized self-attention: a gate per channel and one per position, each read by a softmax over the other.

Formula y = c * x + p * x, c = sigmoid(LN(W_z sum_i softmax_i(w_q . x_i) W_v x_i)),
        p_i = sigmoid(softmax(mean(U_q x)) . U_v x_i), this softmax over channels;
        order="sequential": z = c * x, y = p(z) * z
Paper   Liu, Liu, Fan, Jiang. Polarized Self-Attention: Towards High-quality Pixel-wise Regression. 2021.
        arXiv:2107.00782, section 3.2.
Shapes  x (B, C, H, W) -> (B, C, H, W); maps channel_map (B, C, 1, 1), position_map (B, 1, H, W), in (0, 1).
Cost    with R = max(1, C // 2), N = H*W: parameters 4*C*R + 3*C, MACs 3*C*N + 4*C*R: W_v x and U_v x are
        never formed, as reading first and projecting then gives the same numbers. form="authors": parallel
        without the 2*C of LN; sequential with Q = max(1, R // 4): parameters 3*C*R + 2*C + R*Q + 3*Q + Q*C,
        MACs 2*C*N + 2*C*R + R*Q + Q*C + (C + 1)*R*N.
Differs the authors' code (form="authors") is another mechanism: parallel has no LN, and a softmax over
        positions of the product; sequential has two layers with LN and relu between for W_z, and a softmax of
        U_v x over positions; neither has one over channels. The default is the paper, whose orders agree.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

from foveate.mechanisms.base import Refine, mechanisms
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.gating import gated, gated_by_sum
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import full_precision, widen
from foveate.mechanisms.ranks import any_rank
from foveate.options import one_of, reduced


@mechanisms.register("polarized")
@any_rank
class PolarizedSelfAttention(Refine):
    """Gate the channels by what is read at the positions, and the positions by what is read of the channels.

    Args:
        channels: C of the map that it will receive.
        order: "parallel" adds the two gated maps; "sequential" gates the channels, then the positions.
        form: "paper", or "authors" for what the authors' code computes.

    Raises:
        OptionError: ``order`` or ``form`` is unknown.

    Example:
        >>> import torch
        >>> PolarizedSelfAttention(64)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 64, 7, 5])
    """

    facets = Facets(
        over=("channels", "positions"),
        driven_by="input",
        weighting="soft",
        sites=("features", "skip", "pool"),
    )
    variants = {"order": "sequential", "form": "authors"}

    def __init__(self, channels: int, *, order: str = "parallel", form: str = "paper") -> None:
        super().__init__()
        for option, value, known in (
            ("order", order, ("parallel", "sequential")),
            ("form", form, ("paper", "authors")),
        ):
            one_of(option, value, known)
        self.channels, self.order, self.form = channels, order, form
        self.width = reduced(channels, 2)
        self.channel_query = nn.Linear(channels, 1, bias=False)  # a bias would shift all scores alike
        self.channel_value = nn.Linear(channels, self.width, bias=False)
        self.excite = _excite(channels, self.width, order=order, form=form)
        self.position_query = nn.Linear(channels, self.width, bias=False)
        self.position_value = nn.Linear(channels, self.width, bias=False)
        self.channel_map, self.position_map = MapTap("b c 1 1"), MapTap("b 1 h w")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return ``x`` gated by channel and by position."""
        self._check(x)
        channels = self._weigh_channels(x)
        if self.order == "parallel":
            return gated_by_sum(x, channels, self._weigh_positions(x))
        weighed = gated(x, channels)
        return gated(weighed, self._weigh_positions(weighed))

    def _weigh_channels(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c 1 1"]:
        with full_precision(x):
            values = widen(x).flatten(2)  # (B, C, N)
            weights = (widen(self.channel_query.weight) @ values).softmax(dim=2)
            read = (values @ weights.transpose(1, 2)).squeeze(2)
        logits = self.excite(self.channel_value(read.to(x.dtype)))
        gates: Tensor = self.channel_map(logits.sigmoid()[:, :, None, None].to(x.dtype))
        return gates

    def _weigh_positions(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 h w"]:
        with full_precision(x):
            values, layer = widen(x).flatten(2), widen(self.position_value.weight)  # (B, C, N), (R, C)
            query = linear(values.mean(dim=2), widen(self.position_query.weight))  # (B, R)
            query = query.softmax(dim=1) if self.form == "paper" else query
            if self.form == "authors" and self.order == "sequential":
                logits = query.unsqueeze(1) @ (layer @ values).softmax(dim=2)
            else:
                logits = (query @ layer).unsqueeze(1) @ values
            if self.form == "authors" and self.order == "parallel":
                logits = logits.softmax(dim=2)
        gates: Tensor = self.position_map(logits.sigmoid().unflatten(2, x.shape[2:]).to(x.dtype))
        return gates

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        c, r, n, theirs = self.channels, self.width, height * width, self.form == "authors"
        parameters, macs = 4 * c * r + c + (0 if theirs else 2 * c), 3 * c * n + 4 * c * r
        if theirs and self.order == "sequential":
            q = reduced(r, 4)
            parameters = 3 * c * r + 2 * c + r * q + 3 * q + q * c
            macs = 2 * c * n + 2 * c * r + r * q + q * c + (c + 1) * r * n
        return Cost(parameters, macs=macs, bytes=4 * parameters)


def _excite(channels: int, half: int, *, order: str, form: str) -> nn.Sequential:
    """Return the layers from what was read to the logits of the channels."""
    if form == "paper":
        return nn.Sequential(nn.Linear(half, channels, bias=False), nn.LayerNorm(channels))
    if order == "parallel":
        return nn.Sequential(nn.Linear(half, channels, bias=False))
    hidden = reduced(half, 4)
    first, last = nn.Linear(half, hidden), nn.Linear(hidden, channels)
    return nn.Sequential(first, nn.LayerNorm(hidden), nn.ReLU(), last)
