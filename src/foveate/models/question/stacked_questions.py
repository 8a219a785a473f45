"""The two encoders of questions of stacked attention networks.

Shapes  words int64 (B, T) filled up with 0 -> (B, d)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.models.question.question_model import PAD
from foveate.options import whole


class Words(nn.Embedding):
    """Embeddings of words from 1 on; that of 0 is zero and no parameter.

    Args:
        words: How many words there are, 0 included.
        embedding: m.
    """

    def __init__(self, words: int, embedding: int) -> None:
        super().__init__(words - 1, whole("embedding", embedding))

    def forward(self, words: Int64[Tensor, "b t"]) -> Float[Tensor, "b t m"]:
        """Return the embeddings."""
        found = super().forward((words - 1).clamp_min(0))
        return found.masked_fill((words == PAD).unsqueeze(2), 0.0)


class RecurrentQuestion(nn.Module):
    """An LSTM without tanh at its output, h = o * c, from the last word to the first.

    Args:
        words: How many words there are, 0 included.
        embedding: m.
        width: d of its state.
    """

    def __init__(self, words: int, embedding: int, width: int) -> None:
        super().__init__()
        self.words, self.channels = Words(words, embedding), width
        self.recurrent_input = nn.Linear(embedding, 4 * width)
        self.recurrent = nn.Linear(width, 4 * width, bias=False)
        with torch.no_grad():
            self.recurrent_input.bias.zero_()[width : 2 * width] = 1.0  # the gate that keeps

    def forward(self, words: Int64[Tensor, "b t"], lengths: Int64[Tensor, " b"]) -> Float[Tensor, "b d"]:
        """Return h behind the first word; steps behind a question's end leave the state as it is."""
        given = self.recurrent_input(self.words(words))
        hidden = cell = given.new_zeros(given.shape[0], self.channels)
        for step in reversed(range(words.shape[1])):
            put, keep, out, new = (given[:, step] + self.recurrent(hidden)).chunk(4, dim=1)
            there = (step < lengths).unsqueeze(1)
            cell = torch.where(there, keep.sigmoid() * cell + put.sigmoid() * new.tanh(), cell)
            hidden = torch.where(there, out.sigmoid() * cell, hidden)
        return hidden


class ConvolvedQuestion(nn.Module):
    """Windows of 1, 2, ... words, each a tanh of a linear layer, and the greatest of each over the question.

    Args:
        words: How many words there are, 0 included.
        embedding: m.
        filters: How many windows of each length.
        hides: Whether windows that begin behind the end of a question do not count. If not, padding counts.
    """

    def __init__(self, words: int, embedding: int, filters: Sequence[int], *, hides: bool) -> None:
        super().__init__()
        self.words, self.channels, self.hides = Words(words, embedding), sum(filters), hides
        self.windows = nn.ModuleList(
            nn.Linear(length * embedding, size) for length, size in enumerate(filters, 1)
        )

    def forward(self, words: Int64[Tensor, "b t"], lengths: Int64[Tensor, " b"]) -> Float[Tensor, "b d"]:
        """Return the greatest value of each window."""
        step = torch.arange(words.shape[1], device=words.device)
        x = self.words(words.masked_fill(step >= lengths.unsqueeze(1), PAD))
        found = []
        for length, layer in enumerate(self.windows, 1):
            # A question shorter than the window is one window of its words and zeros.
            wide = F.pad(x, (0, 0, 0, max(0, length - x.shape[1]) if not self.hides else length - 1))
            count = wide.shape[1] - length + 1
            parts = torch.cat([wide[:, first : first + count] for first in range(length)], dim=2)
            values = layer(parts).tanh()
            if self.hides:
                last = (lengths - length).clamp_min(0).unsqueeze(1)  # the last window of words alone
                behind = torch.arange(count, device=words.device) > last
                values = values.masked_fill(behind.unsqueeze(2), -1.0)  # the least that a tanh is
            found.append(values.amax(dim=1))
        return torch.cat(found, dim=1)
