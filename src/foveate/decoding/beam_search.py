"""Beam search in a model that predicts words one by one, for many inputs at once.

A beam holds the ``beam`` likeliest unfinished sentences of an input. Each step grows all of them by all
words and ranks the results: those among the best ``beam`` that end are finished, and the best ``beam`` that
do not end go on. The search of an input stops when ``beam`` sentences are finished and no unfinished one can
overtake them; a sentence of ``max_length`` words must end. Ties go to the lower word number, then to the
better row.

The search of one input does not depend on the others in its batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from foveate.decoding.hypothesis import Hypothesis
from foveate.decoding.next_word import NEVER, beginning, likeliest, most_words
from foveate.decoding.search_options import SearchOptions
from foveate.models.decoders.word_model import Memory, State, WordModel, rows_of


@torch.no_grad()
def beam_search(
    model: WordModel,
    memory: Memory,
    options: SearchOptions,
    *,
    limits: Sequence[int] | None = None,
    keep_weights: bool = False,
) -> list[list[Hypothesis]]:
    """Return the best sentences for each input, best first.

    Args:
        model: In evaluation mode.
        memory: Of B inputs, from ``model.encode``.
        options: Of the search.
        limits: The greatest number of words for each input, where ``options.max_length`` would be too many.
        keep_weights: Whether hypotheses carry what each of their words read.

    Returns:
        B lists of ``options.nbest`` hypotheses; fewer if there are fewer sentences.

    Raises:
        FoveateError: The model's logits are not numbers.
        OptionError: The limits are not one for each input, or below ``options.min_length``.
    """
    most = most_words(options, limits, len(memory.entries))
    found = [_Finished(options, limit) for limit in most]
    rows = _Rows.first(model, memory, options.beam, keep_weights=keep_weights)
    for length in range(1, max(most, default=0) + 2):
        step = model.step(rows.memory, rows.state, rows.last)
        rows.read(step.weights)
        of_rows = rows.last.new_tensor([most[number] for number in rows.inputs]).repeat_interleave(
            options.beam
        )
        gains, next_ = likeliest(step.logits, model, options, length, of_rows, 2 * options.beam)
        values, words, parents = _ranked(rows.scores, gains, next_, options.beam)
        rows.state = step.state
        ends = words == model.end
        likely = ends[:, : options.beam] & values[:, : options.beam].isfinite()
        for place, rank in likely.nonzero().tolist():
            row, score = int(parents[place, rank]), float(values[place, rank])
            found[rows.inputs[place]].add(rows, row, score)
        on = ends.argsort(dim=1, stable=True)[:, : options.beam]  # at most every second one ends
        rows.grow(parents.gather(1, on), words.gather(1, on), values.gather(1, on))
        tops = rows.scores.amax(dim=1).tolist()
        rows.keep([place for place, top in enumerate(tops) if not found[rows.inputs[place]].closed(top)])
        if not rows.inputs:
            break
    return [finished.best() for finished in found]


def _ranked(
    scores: Float[Tensor, "i k"], gains: Float[Tensor, "r m"], words: Int64[Tensor, "r m"], beam: int
) -> tuple[Float[Tensor, "i w"], Int64[Tensor, "i w"], Int64[Tensor, "i w"]]:
    """Return the best 2 k sentences of each input: log p, last word, and the row of what it grew from.

    The best 2 k words of each row are enough: no other can be among the best of its input.
    """
    inputs, kept = len(scores), gains.shape[1]
    grown = (scores.unsqueeze(2) + gains.view(inputs, beam, kept)).flatten(1)
    words = words.view(inputs, -1)
    by_word = words.argsort(dim=1, stable=True)
    places = by_word.gather(1, grown.gather(1, by_word).argsort(dim=1, descending=True, stable=True))
    places = places[:, : 2 * beam]
    first = torch.arange(inputs, device=places.device).unsqueeze(1) * beam
    return grown.gather(1, places), words.gather(1, places), places // kept + first


@dataclass
class _Rows:
    """Unfinished sentences: a row for each place in the beam of each input that is still searched."""

    inputs: list[int]
    memory: Memory
    state: State
    last: Int64[Tensor, " r"]
    words: Int64[Tensor, "r t"]
    scores: Float[Tensor, "i k"]  # sums of log p; minus infinity for rows in which there is no sentence
    reads: Tensor | None = None  # (R, N), how much of each entry all words read
    weights: list[Tensor] | None = None  # (R, N) for each word

    @classmethod
    def first(cls, model: WordModel, memory: Memory, beam: int, *, keep_weights: bool) -> _Rows:
        """Return empty sentences, of which the first of each beam exists."""
        inputs, device = len(memory.entries), memory.entries.device
        index = torch.arange(inputs, device=device).repeat_interleave(beam)
        scores = torch.full((inputs, beam), NEVER, dtype=torch.float64, device=device)
        scores[:, 0] = 0.0
        return cls(
            list(range(inputs)),
            memory.rows(index),
            rows_of(model.start(memory), index),
            beginning(model, inputs * beam, device),
            index.new_zeros(inputs * beam, 0),
            scores,
            weights=[] if keep_weights else None,
        )

    def read(self, weights: Float[Tensor, "r n"]) -> None:
        """Note what a step read."""
        self.reads = weights if self.reads is None else self.reads + weights
        if self.weights is not None:
            self.weights.append(weights)

    def grow(self, parents: Tensor, words: Tensor, scores: Tensor) -> None:
        """Replace the rows by these words after these rows, (I, K) each."""
        self.last, self.scores = words.flatten(), scores
        self._take(parents.flatten())
        self.words = torch.cat([self.words, self.last.unsqueeze(1)], dim=1)

    def keep(self, places: list[int]) -> None:
        """Go on with some of the inputs, given by their places."""
        if len(places) == len(self.inputs):
            return
        self.inputs = [self.inputs[place] for place in places]
        beam = self.scores.shape[1]
        kept = torch.tensor(places, dtype=torch.int64, device=self.last.device)
        rows = (kept.unsqueeze(1) * beam + torch.arange(beam, device=kept.device)).flatten()
        self.memory, self.last, self.scores = self.memory.rows(rows), self.last[rows], self.scores[kept]
        self._take(rows)

    def _take(self, rows: Tensor) -> None:
        self.state, self.words = rows_of(self.state, rows), self.words[rows]
        self.reads = None if self.reads is None else self.reads[rows]
        self.weights = None if self.weights is None else [step[rows] for step in self.weights]


@dataclass
class _Finished:
    """The finished sentences of one input."""

    options: SearchOptions
    most: int
    found: list[Hypothesis] = field(default_factory=list)

    def add(self, rows: _Rows, row: int, log_probability: float) -> None:
        """Add the sentence of a row, which has ended."""
        words = tuple(rows.words[row].tolist())
        score = log_probability / self.options.penalty(len(words) + 1)
        if self.options.coverage_penalty and rows.reads is not None:
            read = rows.reads[row, : rows.memory.entries.shape[1]]  # a sentinel need not be read
            read = read if rows.memory.mask is None else read[rows.memory.mask[row]]
            least = torch.finfo(read.dtype).tiny
            score += self.options.coverage_penalty * float(read.clamp(least, 1.0).log().sum())
        weights = None if rows.weights is None else torch.stack([step[row] for step in rows.weights])
        self.found.append(Hypothesis(words, log_probability, score, weights, len(words) < self.most))

    def closed(self, log_probability: float) -> bool:
        """Return whether no sentence that is this likely now can be among the best ``beam``."""
        if log_probability == NEVER:
            return True
        if len(self.found) < self.options.beam:
            return False
        bound = log_probability / self.options.penalty(self.most + 1)
        return self._ranked()[self.options.beam - 1].score >= bound

    def best(self) -> list[Hypothesis]:
        """Return the best ones, best first."""
        return self._ranked()[: self.options.nbest]

    def _ranked(self) -> list[Hypothesis]:
        return sorted(self.found, key=lambda hypothesis: (-hypothesis.score, hypothesis.words))
