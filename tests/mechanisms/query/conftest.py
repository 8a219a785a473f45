"""What the tests of the reads share: inputs, and any read written out in loops."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

Score = Callable[[Tensor, Tensor], float]


def ask(queries: int = 3, entries: int = 5, query: int = 6, width: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(2, queries, query, dtype=torch.float64, generator=generator),
        torch.randn(2, entries, width, dtype=torch.float64, generator=generator),
    )


@torch.no_grad()
def read_in_loops(query: Tensor, memory: Tensor, score: Score) -> tuple[Tensor, Tensor]:
    """Return context and weights, with one softmax and one weighted mean for each query."""
    contexts, weights = torch.zeros(*query.shape[:2], memory.shape[2]).double(), []
    for b in range(len(query)):
        for t in range(query.shape[1]):
            raised = [math.exp(score(query[b, t], entry)) for entry in memory[b]]
            row = [r / sum(raised) for r in raised]
            weights.append(row)
            for weight, entry in zip(row, memory[b], strict=True):
                contexts[b, t] += weight * entry
    return contexts, torch.tensor(weights, dtype=torch.float64).view(*query.shape[:2], -1)


@pytest.fixture
def inputs() -> Callable[..., tuple[Tensor, Tensor]]:
    return ask


@pytest.fixture
def loops() -> Callable[[Tensor, Tensor, Score], tuple[Tensor, Tensor]]:
    return read_in_loops
