"""The interface of models that answer in words: captioners and translators.

Training reads all words of the reference at once (``forward``); search asks for one word after another
(``encode``, ``start``, ``step``). Both give the same numbers: a contract tests it over all such models.

Word numbers are those of the vocabulary. ``start`` is the number of the word that begins a sentence, or None
for models that begin with a zero vector; they are given ``NO_WORD`` there.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import widen
from foveate.models.decoders.rows import taken_rows
from foveate.models.decoders.word_cross_entropy import word_cross_entropy

NO_WORD = -1
_FULL = 0.75  # of a batch's words, from which on its padding is not left out of the loss

State = dict[str, Tensor]
"""What a decoder carries from word to word: tensors whose first axis is the batch's."""


class Memory(NamedTuple):
    """What a decoder reads: the places of a picture, or the words of a sentence.

    Attributes:
        entries: (B, N, D).
        mask: (B, N), True where there is something to read; None for everywhere.
        extra: What else the encoder found out, by name: the mean of a picture, the encoder's last state. The
            first axis of each tensor is the batch's.
    """

    entries: Float[Tensor, "b n d"]
    mask: Bool[Tensor, "b n"] | None
    extra: State

    def rows(self, index: Int64[Tensor, " r"]) -> Memory:
        """Return the memory of these items of the batch, in this order; an item may come more than once."""
        mask = None if self.mask is None else self.mask[index]
        return Memory(self.entries[index], mask, rows_of(self.extra, index))


class Step(NamedTuple):
    """One word's worth of decoding.

    Attributes:
        logits: (B, V), of the next word; whoever asked may change them.
        state: Of the decoder, after this word.
        weights: (B, N), what was read; (B, N + 1) with a sentinel, which comes last.
    """

    logits: Float[Tensor, "b v"]
    state: State
    weights: Float[Tensor, "b n"]


class Decoded(NamedTuple):
    """All words of a reference, each predicted from those before it.

    Attributes:
        logits: (B, T, V), of the word at each step; log-probabilities are logits too.
        weights: (B, T, N), what each step read.
        log_probability: (B, T), of what a hard read chose; None for soft ones.
        entropy: (B, T), of what a hard read chose from, in nats; None for soft ones.
    """

    logits: Float[Tensor, "b t v"]
    weights: Float[Tensor, "b t n"]
    log_probability: Float[Tensor, "b t"] | None = None
    entropy: Float[Tensor, "b t"] | None = None


class WordModel(nn.Module):
    """A model that answers in words.

    Args:
        classes: V, how many words the vocabulary has.
        pad: Number of the word that fills a batch up.
        start: Number of the word that begins a sentence; None if a zero vector begins it.
        end: Number of the word that ends one.
    """

    def __init__(self, classes: int, *, pad: int = 0, start: int | None = 2, end: int = 3) -> None:
        super().__init__()
        self.classes, self.pad, self.start_word, self.end = classes, pad, start, end
        self.reads = MapTap("b t m")  # what all steps read, where a read's own tap has the last step alone

    @abstractmethod
    def encode(self, *inputs: Tensor) -> Memory:
        """Return the memory of the inputs.

        Args:
            inputs: Of a captioner: pictures (B, 3, H, W), or their features (B, N, D). Of a translator: words
                (B, S), padded at the end.
        """

    @abstractmethod
    def start(self, memory: Memory) -> State:
        """Return the state before the first word."""

    @abstractmethod
    def step(self, memory: Memory, state: State, words: Int64[Tensor, " b"]) -> Step:
        """Return the next word's logits, after these words."""

    @abstractmethod
    def decode(self, memory: Memory, words: Int64[Tensor, "b t"]) -> Decoded:
        """Return what ``step`` would give, word by word, if it were fed these words."""

    def forward(self, *inputs: Tensor) -> Decoded:
        """Return what is predicted; the last input is the reference, as ``shifted`` returns it."""
        decoded = self.decode(self.encode(*inputs[:-1]), inputs[-1])
        return decoded._replace(weights=self.reads(decoded.weights))

    def shifted(self, targets: Int64[Tensor, "b t"]) -> Int64[Tensor, "b t"]:
        """Return what each step is fed, if the words (B, T) with their end are what it has to predict."""
        begin = NO_WORD if self.start_word is None else self.start_word
        return F.pad(targets[:, :-1], (1, 0), value=begin)

    def loss(
        self, decoded: Decoded, targets: Int64[Tensor, "b t"], *, label_smoothing: float = 0.0
    ) -> Float[Tensor, ""]:
        """Return the mean over the words of -log p; models with further terms add them here."""
        return word_loss(decoded.logits, targets, self.pad, label_smoothing=label_smoothing)


def rows_of(state: State, index: Int64[Tensor, " r"]) -> State:
    """Return the state of these items of the batch, in this order; an item may come more than once."""
    return {name: tensor[index] for name, tensor in state.items()}


def word_loss(
    logits: Float[Tensor, "b t v"], targets: Int64[Tensor, "b t"], pad: int, *, label_smoothing: float = 0.0
) -> Float[Tensor, ""]:
    """Return the mean over all words but padding of the cross-entropy."""
    rows, wanted = logits.flatten(0, 1), targets.flatten()
    if not torch.compiler.is_compiling():
        there = (wanted != pad).nonzero().squeeze(1)
        if len(there) < _FULL * len(wanted):  # what padding costs is more than to leave it out
            rows, wanted = taken_rows(rows, there), wanted[there]
    return word_cross_entropy(widen(rows), wanted, ignored=pad, label_smoothing=label_smoothing)


def real_words(words: Int64[Tensor, "b t"], pad: int, end: int) -> Bool[Tensor, "b t"]:
    """Return where a sentence has a word: not padding, and not behind its end if padding is written as end.

    Example:
        >>> real_words(torch.tensor([[5, 0, 0]]), pad=0, end=0).tolist()
        [[True, True, False]]
    """
    if pad != end:
        return words != pad
    ends = (words == end).cumsum(dim=1)
    return (ends == 0) | ((ends == 1) & (words == end))
