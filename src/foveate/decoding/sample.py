"""Sentences drawn word by word from what a model predicts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from foveate.decoding.hypothesis import Hypothesis
from foveate.decoding.next_word import NEVER, beginning, log_probabilities, most_words
from foveate.decoding.search_options import SearchOptions
from foveate.models.decoders.word_model import Memory, WordModel, rows_of


@torch.no_grad()
def sample(
    model: WordModel,
    memory: Memory,
    options: SearchOptions,
    *,
    limits: Sequence[int] | None = None,
    generator: torch.Generator | None = None,
) -> list[list[Hypothesis]]:
    """Return ``options.nbest`` sentences for each input, drawn independently, the likeliest first.

    Args:
        model: In evaluation mode.
        memory: Of B inputs, from ``model.encode``.
        options: ``temperature`` and ``top_k`` say what is drawn from; ``log_probability`` is the model's own.
        limits: The greatest number of words for each input, where ``options.max_length`` would be too many.
        generator: What the draws come from; PyTorch's own if None.
    """
    inputs, device = len(memory.entries), memory.entries.device
    most = [limit for limit in most_words(options, limits, inputs) for _ in range(options.nbest)]
    index = torch.arange(inputs, device=device).repeat_interleave(options.nbest)
    memory, state = memory.rows(index), rows_of(model.start(memory), index)
    last = beginning(model, len(index), device)
    words, totals = (
        index.new_zeros(len(index), 0),
        torch.zeros(len(index), dtype=torch.float64, device=device),
    )
    ended = torch.zeros(len(index), dtype=torch.bool, device=device)
    for length in range(1, max(most, default=0) + 2):
        step = model.step(memory, state, last)
        likely = log_probabilities(step.logits, model, options, length, last.new_tensor(most))
        drawn = torch.multinomial(_draw_from(likely, options), 1, generator=generator).squeeze(1)
        last, state = drawn.masked_fill(ended, model.end), step.state
        totals += likely.gather(1, last.unsqueeze(1)).squeeze(1).masked_fill(ended, 0.0)
        words = torch.cat([words, last.unsqueeze(1)], dim=1)
        ended |= last == model.end
        if ended.all():
            break
    found = [
        _hypothesis(row, total, model.end, options, limit)
        for row, total, limit in zip(words.tolist(), totals.tolist(), most, strict=True)
    ]
    groups = [found[i : i + options.nbest] for i in range(0, len(found), options.nbest)]
    return [sorted(group, key=lambda hypothesis: -hypothesis.score) for group in groups]


def _draw_from(likely: Tensor, options: SearchOptions) -> Tensor:
    """Return what words are drawn with."""
    scores = likely / options.temperature
    if 0 < options.top_k < scores.shape[1]:
        least = scores.topk(options.top_k, dim=1).values[:, -1:]
        scores = scores.masked_fill(scores < least, NEVER)
    return scores.softmax(dim=1)


def _hypothesis(row: list[int], total: float, end: int, options: SearchOptions, most: int) -> Hypothesis:
    words = tuple(row[: row.index(end)])
    score = total / options.penalty(len(words) + 1)
    return Hypothesis(words, total, score, finished=len(words) < most)
