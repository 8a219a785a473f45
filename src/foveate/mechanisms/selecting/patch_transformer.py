"""Cross-attention over the features of patches: learnt queries read them, and score them.

Formula per head h: A = softmax(q W_q (f W_k)^T / sqrt(D_h)); o = LN(q + (A f W_v) W_o);
        out = LN(o + W_2 relu(W_1 o)); score_i = mean over heads and queries of A_i
Paper   Bergner, Lippert, Mahendran. Iterative Patch Selection for High-Resolution Image Recognition. ICLR
        2023. arXiv:2210.13007, section 3.
Shapes  features (B, K, D) -> (B, T, D) for T queries; scores (B, K), which sum to 1
Cost    parameters T*D + 4*D^2 + 4*D + 2*D*E + E + D, E = inner
Differs none.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.mechanisms.precision import precise, widen
from foveate.options import heads_of, whole

EPS = 1e-6  # of the layer norms


class PatchTransformer(nn.Module):
    """One layer of cross-attention from T learnt queries to patches.

    Args:
        width: D of the features.
        queries: T.
        heads: Number of heads; None takes the most that divide ``width``, up to 8.
        inner: Width E of the layer between.
        dropout: Of the attention, and behind each of the two parts, in [0, 1].
    """

    def __init__(self, width: int, *, queries: int, heads: int | None, inner: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads_of(width, heads)
        bound = 1 / math.sqrt(width // self.heads)
        self.queries = nn.Parameter(torch.empty(whole("queries", queries), width).uniform_(-bound, bound))
        self.to_query, self.to_key, self.to_value, self.out = (
            nn.Linear(width, width, bias=False) for _ in range(4)
        )
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.wide, self.narrow = nn.Linear(width, inner), nn.Linear(inner, width)
        self.last_norm = nn.LayerNorm(width, eps=EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Float[Tensor, "b k d"]) -> Float[Tensor, "b t d"]:
        """Return one vector for each query."""
        values = self._by_head(self.to_value(features))  # (B, H, K, D/H)
        attention = self.dropout(self.attention(features)).to(values.dtype)
        read = (attention @ values).transpose(1, 2).flatten(2)
        x = self.norm(self.queries + self.dropout(self.out(read)))
        out: Tensor = self.last_norm(x + self.dropout(self.narrow(self.wide(x).relu())))
        return out

    def attention(self, features: Float[Tensor, "b k d"]) -> Float[Tensor, "b h t k"]:
        """Return how each head and query weighs the patches; rows sum to 1; float32 for half types."""
        keys = self._by_head(precise(self.to_key, widen(features)))
        # A product of parameters, once for a batch: elementwise, so that it counts for no image.
        asked = (widen(self.queries).unsqueeze(1) * widen(self.to_query.weight)).sum(dim=2)
        queries = self._by_head(asked.unsqueeze(0))
        scores = (queries @ keys.transpose(2, 3)) / math.sqrt(keys.shape[3])
        return scores.softmax(dim=3)

    def scores(self, features: Float[Tensor, "b k d"]) -> Float[Tensor, "b k"]:
        """Return what each patch is worth: the mean of its attention over heads and queries."""
        return self.attention(features).mean(dim=(1, 2))

    def _by_head(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b h n e"]:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


def sinusoids(number: int, width: int, like: Tensor) -> Float[Tensor, "n d"]:
    """Return the encoding of the places 0 .. number - 1: sines and cosines of falling frequency, in turn.

    Frequencies 10000^(-2j / width); of an odd width the last cosine is left out.
    """
    places = torch.arange(number, device=like.device, dtype=torch.float64).unsqueeze(1)
    rates = torch.exp(
        torch.arange(0, width, 2, device=like.device, dtype=torch.float64) * (-math.log(10000.0) / width)
    )
    waves = torch.stack([(places * rates).sin(), (places * rates).cos()], dim=2).flatten(1)
    return waves[:, :width].to(like.dtype)
