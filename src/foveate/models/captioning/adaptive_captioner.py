"""Adaptive captioner: before each word it decides whether to look at the picture or at what it knows already.

Paper   Lu, Xiong, Parikh, Socher. Knowing When to Look: Adaptive Attention via a Visual Sentinel for Image
        Captioning. CVPR 2017. arXiv:1612.01887, section 2.3.
Shapes  features (B, N, D) or pictures (B, 3, H, W), words (B, T) -> logits (B, T, V), weights (B, T, N+1);
        the last slot is the sentinel's, beta.
Cost    parameters with n = width, G = overall: kind="released" 21 n^2 + n*(2 V + D + G) + 24 n + V + 1, which
        is 17,339,665 for V = 9,488, n = 512, D = G = 2048; kind="paper" has 18 n^2 and 21 n.
Differs none with kind="released" from the public PyTorch version (ruotianluo's), which follows the authors'
        Torch code; its slot of the sentinel is the first one. kind="paper" is what the paper prints: region,
        sentinel and state are scored as they are, and p = softmax(W_p (c + h)); embeddings pass through a
        relu there too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import exact_linear, widen
from foveate.mechanisms.reading.scores import masked_softmax, readable
from foveate.models.captioning.places import Places, embedded, expect_numbers
from foveate.models.decoders.word_model import Decoded, Memory, State, Step, WordModel, real_words, word_loss
from foveate.models.encoders.last_map import NOTHING
from foveate.models.names import models
from foveate.models.weight_names import renamed
from foveate.options import between, one_of, whole

_IGNORED = -100
KINDS = ("released", "paper")
_PUBLISHED = [
    (r"^embed\.0\.", "embedding."),
    (r"^fc_embed\.0\.", "overall."),
    (r"^att_embed\.0\.", "regions."),
    (r"^ctx2att\.", "attention.region_key."),
    (r"^core\.lstm\.h2h\.0\.", "cell.from_state."),
    (r"^core\.lstm\.r_h2h\.", "cell.gate_from_state."),
    (r"^core\.lstm\.(r_)?([wv])2h\.", r"cell.\1from_\2."),
    (r"^cell\.r_from_", "cell.gate_from_"),
    (r"^(cell\.(?:gate_)?from_)w\.", r"\1word."),
    (r"^(cell\.(?:gate_)?from_)v\.", r"\1picture."),
    (r"^core\.attention\.fr_linear\.0\.", "attention.before_sentinel."),
    (r"^core\.attention\.fr_embed\.", "attention.sentinel_key."),
    (r"^core\.attention\.ho_linear\.0\.", "attention.before_state."),
    (r"^core\.attention\.ho_embed\.", "attention.state_key."),
    (r"^core\.attention\.alpha_net\.", "attention.energy."),
    (r"^core\.attention\.att2h\.", "merge."),
    (r"^logit\.", "logits."),
]


@models.register("adaptive_captioner")
class AdaptiveCaptioner(WordModel):
    """An LSTM with a visual sentinel: a gated view of its own cell, which competes with the places.

    Args:
        classes: V, how many words the vocabulary has.
        channels: D of features; with an encoder, its own.
        width: n of embeddings, states, regions and scores. Paper: 512.
        overall: G of the features of the whole picture, if they are given as a second input (B, G); None
            takes the mean of the places.
        kind: "released" or "paper"; see the header.
        dropout: Probability that a number is left out in training, at seven places, in [0, 1). Paper: 0.5.
        encoder: None for features; for pictures the name of a classifier, such as ``timm/resnet50``.
        pretrained_encoder: Fetch its published weights.
        trainable: What of the encoder learns: "none", "all", or a pattern such as ``layer[234]``.
        places: Rows and columns to which the encoder's map is pooled; None leaves it. Paper: 7.
        pad: Number of the word that fills a batch up.
        start: Number of the word that begins a sentence; None if a zero vector is fed first.
        end: Number of the word that ends one.

    Raises:
        UnknownNameError: There is no such encoder.
        OptionError: An option is out of range.

    Example:
        >>> import torch
        >>> model = AdaptiveCaptioner(classes=20, channels=32, width=16)
        >>> decoded = model(torch.rand(2, 49, 32), torch.randint(20, (2, 5)))
        >>> decoded.logits.shape, decoded.weights.shape
        (torch.Size([2, 5, 20]), torch.Size([2, 5, 50]))
    """

    def __init__(
        self,
        *,
        classes: int,
        channels: int = 2048,
        width: int = 512,
        overall: int | None = None,
        kind: str = "released",
        dropout: float = 0.5,
        encoder: str | None = None,
        pretrained_encoder: bool = False,
        trainable: str = NOTHING,
        places: int | None = None,
        pad: int = 0,
        start: int | None = 2,
        end: int = 3,
    ) -> None:
        one_of("kind", kind, KINDS)
        expect_numbers(classes, pad, start, end)
        super().__init__(classes, pad=pad, start=start, end=end)
        self.encoder = Places(
            channels, encoder=encoder, pretrained=pretrained_encoder, trainable=trainable, places=places
        )
        n, released = whole("width", width), kind == "released"
        self.width, self.drop = n, nn.Dropout(between("dropout", dropout, 0, 0.999))
        self.embedding = nn.Embedding(classes, n)
        self.overall = nn.Linear(self.encoder.channels if overall is None else whole("overall", overall), n)
        self.regions = nn.Linear(self.encoder.channels, n)
        self.cell = SentinelCell(n)
        self.attention = SentinelAttention(n, dropout, released=released)
        self.merge = nn.Linear(n, n) if released else None
        self.logits = nn.Linear(n, classes)

    def encode(self, *inputs: Tensor) -> Memory:
        """Return the regions, their keys, and the whole picture, from features or pictures."""
        entries = self.encoder(inputs[0])
        whole_picture = inputs[1] if len(inputs) > 1 else entries.mean(dim=1)
        regions = self.drop(self.regions(entries).relu())
        overall = self.drop(self.overall(whole_picture).relu())
        return Memory(regions, None, {"keys": self.attention.region_key(regions), "overall": overall})

    def start(self, memory: Memory) -> State:
        """Return zeros."""
        zeros = memory.extra["overall"].new_zeros(memory.entries.shape[0], self.width)
        return {"hidden": zeros, "cell": zeros}

    def step(self, memory: Memory, state: State, words: Int64[Tensor, " b"]) -> Step:
        """Return the next word's logits, after these words."""
        logits, weights, state = self._run(memory, state, words.unsqueeze(1))
        return Step(logits.squeeze(1), state, weights.squeeze(1))

    def decode(self, memory: Memory, words: Int64[Tensor, "b t"]) -> Decoded:
        """Return what ``step`` would give, word by word."""
        logits, weights, _ = self._run(memory, self.start(memory), words)
        return Decoded(logits, weights)

    def loss(
        self, decoded: Decoded, targets: Int64[Tensor, "b t"], *, label_smoothing: float = 0.0
    ) -> Float[Tensor, ""]:
        """Return the mean over the words of -log p, the ends among them though padding may be written so."""
        counted = targets.masked_fill(~real_words(targets, self.pad, self.end), _IGNORED)
        return word_loss(decoded.logits, counted, _IGNORED, label_smoothing=label_smoothing)

    def _run(
        self, memory: Memory, state: State, words: Int64[Tensor, "b t"]
    ) -> tuple[Float[Tensor, "b t v"], Float[Tensor, "b t n"], State]:
        vectors = self.drop(embedded(words, self.embedding).relu())
        hidden, sentinels, state = self.cell(vectors, memory.extra["overall"], state)
        context, weights = self.attention(
            self.drop(hidden), self.drop(sentinels), memory.entries, memory.extra["keys"], memory.mask
        )
        if self.merge is not None:
            context = self.drop(self.merge(context).tanh())
        return self.logits(context), weights, state

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return weights in the names of ruotianluo's version under our own."""
        return renamed(state, _PUBLISHED, self.state_dict())


class SentinelCell(nn.Module):
    """An LSTM that also returns the sentinel of each step: sigmoid(W [x; v; h_before]) * tanh(cell).

    Args:
        width: Of words, picture and state.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.from_word = nn.Linear(width, 4 * width)  # input, forget and output gate, and what is put in
        self.from_picture = nn.Linear(width, 4 * width)
        self.from_state = nn.Linear(width, 4 * width)
        self.gate_from_word = nn.Linear(width, width)
        self.gate_from_picture = nn.Linear(width, width)
        self.gate_from_state = nn.Linear(width, width)

    def forward(
        self, words: Float[Tensor, "b t d"], picture: Float[Tensor, "b d"], state: State
    ) -> tuple[Float[Tensor, "b t d"], Float[Tensor, "b t d"], State]:
        """Return the state and the sentinel of each step, and the last state."""
        hidden, cell = state["hidden"], state["cell"]
        driven = self.from_word(words) + self.from_picture(picture).unsqueeze(1)
        before, after, seen = [], [], []
        for part in driven.unbind(dim=1):
            before.append(hidden)
            summed = part + self.from_state(hidden)
            gates, new = summed.split([3 * self.width, self.width], dim=1)
            put, keep, out = gates.sigmoid().chunk(3, dim=1)
            cell = keep * cell + put * new.tanh()
            shown = cell.tanh()
            hidden = out * shown
            after.append(hidden)
            seen.append(shown)
        gate = self.gate_from_word(words) + self.gate_from_picture(picture).unsqueeze(1)
        gate = (gate + self.gate_from_state(torch.stack(before, dim=1))).sigmoid()
        sentinels = gate * torch.stack(seen, dim=1)
        return torch.stack(after, dim=1), sentinels, {"hidden": hidden, "cell": cell}


class SentinelAttention(nn.Module):
    """Additive attention over the regions and the sentinel.

    The mechanism ``sentinel`` does the same; this one has dropout between its layers, and the regions' keys
    come in computed once for all words.

    Args:
        width: Of everything.
        dropout: Probability.
        released: Whether sentinel and state pass through a layer each before, as in the authors' code.
    """

    def __init__(self, width: int, dropout: float, *, released: bool) -> None:
        super().__init__()
        self.before_sentinel = nn.Linear(width, width) if released else None
        self.before_state = nn.Linear(width, width) if released else None
        self.region_key = nn.Linear(width, width)
        self.sentinel_key = nn.Linear(width, width)
        self.state_key = nn.Linear(width, width)
        self.energy = nn.Linear(width, 1)
        self.drop = nn.Dropout(dropout)
        self.map = MapTap("b t m", sums="m")

    def forward(
        self,
        hidden: Float[Tensor, "b t d"],
        sentinels: Float[Tensor, "b t d"],
        regions: Float[Tensor, "b n d"],
        keys: Float[Tensor, "b n d"],
        mask: Bool[Tensor, "b n"] | None,
    ) -> tuple[Float[Tensor, "b t d"], Float[Tensor, "b t m"]]:
        """Return what each step read with its state added, and the weights, the sentinel's last."""
        if self.before_sentinel is not None and self.before_state is not None:
            sentinels = self.drop(self.before_sentinel(sentinels).relu())
            hidden = self.drop(self.before_state(hidden).tanh())
        asked = self.state_key(hidden)
        own = self._score(asked + self.sentinel_key(sentinels))
        scores = self._score(asked.unsqueeze(2) + readable(keys, mask).unsqueeze(1))
        joint = torch.cat([scores, own.unsqueeze(2)], dim=2)
        weights: Any = self.map(masked_softmax(joint, self._hidden(mask))).to(regions.dtype)
        read = weights[:, :, :-1] @ readable(regions, mask) + weights[:, :, -1:] * sentinels
        return read + hidden, weights

    def _score(self, x: Tensor) -> Tensor:
        return widen(exact_linear(self.energy, self.drop(x.tanh())).squeeze(-1))

    def _hidden(self, mask: Tensor | None) -> Tensor | None:
        """Return where nothing may be read; the sentinel may be always."""
        return None if mask is None else nn.functional.pad(~mask, (0, 1), value=False).unsqueeze(1)
