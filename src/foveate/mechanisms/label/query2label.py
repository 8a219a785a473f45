"""Query2Label: every class asks the map through a small transformer, and scores what it read.

Formula M = encoder(conv1x1(x), p); h = decoder(0, e, M, p); logit_q = w_q . h_q + b_q; e one learned query
        per class, p sines of row and column, added to queries and keys, not to values
Paper   Liu, Zhang, Yang, Su, Zhu. Query2Label: A Simple Transformer Way to Multi-Label Classification. 2021.
        arXiv:2107.10834, section 3; its transformer is that of Carion et al. DETR. ECCV 2020.
Shapes  x (B, C, H, W) -> logits (B, Q), Q classes; map (B, K, Q, H, W), K heads: the last cross-attention,
        sums to 1 over positions. The layers before have maps of their own, the N*N ones only while recording.
Cost    with d = width, f = feedforward, A = 4*d*d + 4*d, F = 2*d*f + d + f, E and L layers of encoder and
        decoder: parameters C*d + d + E*(A + F + 4*d) + L*(A + F + 4*d) + (L - 1)*(A + 2*d) + 2*d + 2*Q*d + Q;
        MACs N*C*d + E*N*(4*d*d + 2*N*d + 2*d*f) + L*(2*d*d*(N + Q) + 2*N*Q*d + 2*Q*d*f)
        + (L - 1)*Q*(4*d*d + 2*Q*d) + Q*d, N = H*W. Memory grows with N.
Differs d is 2048 with f 8192 in the recipe for ResNet-101, here no wider than 256 by default; no dropout.
        The sines count rows and columns from 0, so that they mean the same in maps of any size;
        positions="detr" is the authors' code: counted from 1, scaled to 2 pi over the map, sine and cosine in
        turn. Where d = C that code leaves out the first convolution (embed=False, without its C*d + d and
        N*C*d). The first decoder layer has no self-attention: it would read zeros only. The classes look at
        each other, as the paper says; the authors' code drops that by default
        (self_attention=False, without the terms in L - 1).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.errors import OptionError
from foveate.mechanisms.base import Label, mechanisms
from foveate.mechanisms.detr import detr_sines, from_authors
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.kernels.memory_layout import tokens
from foveate.mechanisms.kernels.softmax_attention import attend
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.pairwise.multi_head import sine2d
from foveate.mechanisms.precision import full_precision, widen
from foveate.options import flag, one_of, whole


class Attention(nn.Module):
    """Multi-head attention whose queries, keys and values come from three places.

    Args:
        width: d of all three.
        heads: Number of heads; divides ``width``.
        tap: Where the weights go: all at once (B, K, T, N), or with ``like`` as maps (B, K, T, H, W).
    """

    def __init__(self, width: int, heads: int, tap: MapTap) -> None:
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(width, 3 * width)  # queries, keys, values
        self.merge = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.project.weight)
        nn.init.zeros_(self.project.bias)
        nn.init.zeros_(self.merge.bias)
        self.map = tap

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, like: Tensor | None = None
    ) -> Float[Tensor, "b t d"]:
        """Return what each query read; ``like`` is the map whose positions the keys are, if they are few."""
        parts = zip(
            (query, key, value), self.project.weight.chunk(3), self.project.bias.chunk(3), strict=True
        )
        q, k, v = (self._split(F.linear(x, weight, bias)) for x, weight, bias in parts)
        scale = q.shape[-1] ** -0.5
        if like is None:
            context = attend(q, k, v, self.map, scale=scale)
        else:
            with full_precision(q):
                weights = (widen(q) * scale @ widen(k).transpose(2, 3)).softmax(dim=3)
            context = self.map(weights.unflatten(3, like.shape[2:])).flatten(3).to(v.dtype) @ v
        return self.merge(context.transpose(1, 2).flatten(2))

    def _split(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b k n _"]:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class FeedForward(nn.Module):
    """Two linear layers with relu between, added to their input, and a normalisation.

    Args:
        width: d of the tokens.
        feedforward: Width f between the two.
    """

    def __init__(self, width: int, feedforward: int) -> None:
        super().__init__()
        self.widen, self.narrow = nn.Linear(width, feedforward), nn.Linear(feedforward, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Return the tokens, each changed by itself."""
        return self.norm(x + self.narrow(self.widen(x).relu()))


class SelfLayer(nn.Module):
    """Tokens that attend to each other, and a normalisation.

    Args:
        width: d of the tokens.
        heads: Number of heads; divides ``width``.
        axes: Of the weights.
    """

    def __init__(self, width: int, heads: int, axes: str) -> None:
        super().__init__()
        self.attention = Attention(width, heads, MapTap(axes, sums="m"))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Float[Tensor, "b n d"], place: Float[Tensor, "#b n d"]) -> Float[Tensor, "b n d"]:
        """Return the tokens; ``place`` is added to queries and keys, not to values."""
        return self.norm(x + self.attention(x + place, x + place, x))


class EncoderLayer(nn.Module):
    """Positions that attend to each other, then change each by itself.

    Args:
        width: d of the tokens.
        heads: Number of heads; divides ``width``.
        feedforward: Width f of the hidden linear layer.
    """

    def __init__(self, width: int, heads: int, feedforward: int) -> None:
        super().__init__()
        self.own, self.forth = SelfLayer(width, heads, "b k n m"), FeedForward(width, feedforward)

    def forward(self, x: Tensor, place: Tensor) -> Float[Tensor, "b n d"]:
        """Return the positions' tokens."""
        return self.forth(self.own(x, place))


class DecoderLayer(nn.Module):
    """Classes that attend to each other, if asked, then to the positions of a map.

    Args:
        width: d of the tokens.
        heads: Number of heads; divides ``width``.
        feedforward: Width f of the hidden linear layer.
        own: Whether the classes attend to each other.
        tap: Where the weights over the positions go.
    """

    def __init__(self, width: int, heads: int, feedforward: int, own: bool, tap: MapTap) -> None:
        super().__init__()
        self.own = SelfLayer(width, heads, "b k q m") if own else None
        self.cross, self.norm = Attention(width, heads, tap), nn.LayerNorm(width)
        self.forth = FeedForward(width, feedforward)

    def forward(self, x: Tensor, queries: Tensor, memory: Tensor, key: Tensor, like: Tensor) -> Tensor:
        """Return the classes' tokens (B, Q, d); ``key`` is the memory (B, N, d) with its places."""
        if self.own is not None:
            x = self.own(x, queries)
        return self.forth(self.norm(x + self.cross(x + queries, key, memory, like)))


@mechanisms.register("query2label")
class Query2Label(Label):
    """Score each class by what its own learned query read in the map.

    Args:
        channels: C of the map that it will receive.
        classes: Number of classes.
        width: d of the transformer; None takes the multiple of 2*heads from C on, at most 256.
        heads: Number of heads; must divide ``width``. Paper: 4.
        encoder_layers: Layers in which the positions attend to each other, at least 0. Paper: 1.
        decoder_layers: Layers in which the classes attend to the positions. Paper: 2.
        feedforward: Width of the hidden linear layer; None takes 4*width.
        self_attention: Whether the classes attend to each other, from the second decoder layer on.
        positions: Which sines are added: ``"sine2d"``, or ``"detr"``, the authors'; then 4 divides ``width``.
        embed: Whether a 1 x 1 convolution comes first; without it ``width`` is C.

    Raises:
        OptionError: ``heads`` does not divide ``width``, or a number is not whole or too small.

    Example:
        >>> import torch
        >>> Query2Label(64, classes=10)(torch.rand(2, 64, 7, 5)).shape
        torch.Size([2, 10])
    """

    facets = Facets(
        over=("classes", "positions", "heads"), driven_by="query", weighting="soft", sites=("output",)
    )
    variants = {
        "classes": 7,
        "width": 32,
        "heads": 2,
        "encoder_layers": 0,
        "decoder_layers": 1,
        "feedforward": 24,
        "self_attention": False,
        "positions": "detr",
        "embed": False,
    }

    def __init__(
        self,
        channels: int,
        *,
        classes: int,
        width: int | None = None,
        heads: int = 4,
        encoder_layers: int = 1,
        decoder_layers: int = 2,
        feedforward: int | None = None,
        self_attention: bool = True,
        positions: str = "sine2d",
        embed: bool = True,
    ) -> None:
        super().__init__()
        one_of("positions", positions, ("sine2d", "detr"))
        self.channels, self.classes = channels, whole("classes", classes)
        self.heads, self.positions = heads, positions
        self.width = _width(channels, width if flag("embed", embed) else width or channels, heads)
        _check_width(self.width, channels, positions, embed)
        self.feedforward = 4 * self.width if feedforward is None else whole("feedforward", feedforward)
        self.self_attention = self_attention
        whole("encoder_layers", encoder_layers, least=0)
        last = whole("decoder_layers", decoder_layers) - 1
        self.embed = nn.Conv2d(channels, self.width, kernel_size=1) if embed else nn.Identity()
        self.map = MapTap("b k q h w", sums="h w")
        self.encoder = nn.ModuleList(
            EncoderLayer(self.width, heads, self.feedforward) for _ in range(encoder_layers)
        )
        early = (MapTap("b k q h w", sums="h w") for _ in range(last))
        self.decoder = nn.ModuleList(
            DecoderLayer(self.width, heads, self.feedforward, self_attention and i > 0, tap)
            for i, tap in enumerate([*early, self.map])
        )
        self.norm = nn.LayerNorm(self.width)
        self.queries = nn.Parameter(torch.randn(classes, self.width))
        bound = self.width**-0.5
        self.weight = nn.Parameter(torch.empty(classes, self.width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(classes).uniform_(-bound, bound))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b q"]:
        """Return one logit per class."""
        self._check(x)
        embedded = self.embed(x)
        sines = detr_sines if self.positions == "detr" else sine2d
        memory, place = tokens(embedded), tokens(sines(embedded))
        for layer in self.encoder:
            memory = layer(memory, place)
        queries = self.queries.expand(x.shape[0], -1, -1)
        classes, key = torch.zeros_like(queries), memory + place
        for layer in self.decoder:
            classes = layer(classes, queries, memory, key, embedded)
        scores = self.norm(classes).transpose(0, 1) @ self.weight.unsqueeze(
            2
        )  # (Q, B, 1): one layer per class
        return (scores.squeeze(2).transpose(0, 1) + self.bias).to(x.dtype).contiguous()

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return weights in the authors' names under our own.

        Raises:
            CheckpointError: The classes attend to each other in the first layer too, which ours cannot.
        """
        return from_authors(state)

    def cost(self, height: int, width: int) -> Cost:
        """Return the closed form of the header."""
        n, q, d, f = height * width, self.classes, self.width, self.feedforward
        encoders, decoders = len(self.encoder), len(self.decoder)
        selves = (decoders - 1) * self.self_attention
        attention, layers = 4 * d * d + 4 * d, 2 * d * f + d + f
        embeds = isinstance(self.embed, nn.Conv2d)
        parameters = embeds * (self.channels * d + d) + (encoders + decoders) * (attention + layers + 4 * d)
        parameters += selves * (attention + 2 * d) + 2 * d + 2 * q * d + q
        macs = embeds * n * self.channels * d + encoders * n * (4 * d * d + 2 * n * d + 2 * d * f)
        macs += decoders * (2 * d * d * (n + q) + 2 * n * q * d + 2 * q * d * f)
        macs += selves * q * (4 * d * d + 2 * q * d) + q * d
        return Cost(parameters=parameters, macs=macs, bytes=4 * parameters)


def _width(channels: int, width: int | None, heads: int) -> int:
    """Return the width that is asked for if ``heads`` divides it, or one that goes with ``channels``."""
    step = 2 * whole("heads", heads)
    if width is None:
        return max(step, min(-(-channels // step) * step, 256 // step * step))
    if whole("width", width) % heads:
        raise OptionError(
            f"width: got {width}, which heads={heads} does not divide. Near: {-(-width // heads) * heads}"
        )
    return width


def _check_width(width: int, channels: int, positions: str, embed: bool) -> None:
    if not embed and width != channels:
        raise OptionError(f"embed: without it width is the map's {channels} channels, got width={width}")
    if positions == "detr" and width % 4:
        raise OptionError(
            f"positions: detr gives a quarter of the width each to four waves, got width={width}"
        )
