"""What models share that encode something and let the attention decoder write about it."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from foveate.models.decoders.attention_decoder import AttentionDecoder
from foveate.models.decoders.word_model import Decoded, Memory, State, Step, WordModel, real_words, word_loss

_IGNORED = -100


class AttentionModel(WordModel):
    """A model that answers in words by an ``AttentionDecoder``.

    ``encode`` returns what ``self.decoder.prepare`` returns, with ``extra["summary"]``.

    Args:
        decoder: Writes the words.
        pad: Number of the word that fills a batch up; may be the same as ``end``.
        start: Number of the word that begins a sentence; None if a zero vector stands there.
        end: Number of the word that ends one.
    """

    def __init__(
        self, decoder: AttentionDecoder, *, pad: int = 0, start: int | None = 2, end: int = 3
    ) -> None:
        super().__init__(decoder.output.out_features, pad=pad, start=start, end=end)
        self.decoder = decoder

    def start(self, memory: Memory) -> State:
        """Return the state before the first word."""
        return self.decoder.start(memory)

    def step(self, memory: Memory, state: State, words: Int64[Tensor, " b"]) -> Step:
        """Return the next word's logits, after these words."""
        return self.decoder.step(memory, state, words)

    def decode(self, memory: Memory, words: Int64[Tensor, "b t"]) -> Decoded:
        """Return what ``step`` would give, word by word, if it were fed these words.

        Behind a sentence's end, where an end or padding was fed, there are zeros.
        """
        return self.decoder.decode(memory, words, self._going_on(words))

    def _going_on(self, words: Int64[Tensor, "b t"]) -> Bool[Tensor, "b t"] | None:
        """Return which steps are fed a word of a sentence that has not ended."""
        if torch.compiler.is_compiling():
            return None  # how many there are would be part of the graph
        ended = (words == self.pad) | (words == self.end)
        ended[:, :1] = False  # a sentence may begin with any word
        return ended.cumsum(dim=1) == 0

    def loss(
        self, decoded: Decoded, targets: Int64[Tensor, "b t"], *, label_smoothing: float = 0.0
    ) -> Float[Tensor, ""]:
        """Return the mean over the words of -log p; choices that learn by REINFORCE add their reward.

        The reward's terms are divided by the number of words too, so that their factors mean what they mean
        in ``ReinforceLoss``.
        """
        there = real_words(targets, self.pad, self.end)
        counted = targets.masked_fill(~there, _IGNORED)
        loss = word_loss(decoded.logits, counted, _IGNORED, label_smoothing=label_smoothing)
        reward = self.decoder.reader.rewarded
        if reward is None or decoded.log_probability is None:
            return loss
        with torch.no_grad():
            likelihood = decoded.logits.detach().log_softmax(dim=2).gather(2, targets.unsqueeze(2)).squeeze(2)
            likelihood = likelihood.to(decoded.log_probability.dtype).masked_fill(~there, 0.0)
        extra = reward(likelihood, decoded.log_probability, decoded.entropy, there)
        extra = (
            extra + likelihood.sum(dim=1).mean()
        )  # the reward's loss has the likelihood in it, as a constant
        return loss + extra * targets.shape[0] / there.sum().clamp_min(1)
