"""What maps are judged on: a model, pictures, what is explained of each, and the true masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor, nn

from foveate.explain.scores import Score
from foveate.running import eval_no_grad

_MOST_NUMBERS = 2**25  # in the pictures of one forward pass: 128 MiB of float32


@dataclass(frozen=True)
class Subject:
    """What maps are judged on.

    Args:
        model: Any model; it runs in evaluation mode and is left as it was.
        images: As the model takes them (B, C, H, W).
        target: What is explained, as the user said it.
        score: Reads it from the model's outputs.
        masks: Where the object is (B, H, W); None if nobody knows.
        groups: The class that is explained of each picture (B,), by which the bootstrap is stratified.
        black: The value of black in each channel of the images; None if unknown.
        unit: What a step of 1 of a picture in [0, 1] is in each channel of the images.
        twin: The same network trained a second time, with another seed.
        seed: Decides everything random.
        batch: Pictures in one forward pass.
        memory: What metrics have computed that is the same for all maps.
    """

    model: nn.Module
    images: Float[Tensor, "b c h w"]
    target: Any
    score: Score
    masks: Bool[Tensor, "b h w"] | None = None
    groups: Int64[np.ndarray, " b"] | None = None
    black: Float[Tensor, " c"] | None = None
    unit: Float[Tensor, " c"] | None = None
    twin: nn.Module | None = None
    seed: int = 0
    batch: int = 128
    memory: dict[object, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def count(self) -> int:
        """B."""
        return len(self.images)

    @property
    def size(self) -> tuple[int, int]:
        """H, W."""
        return self.images.shape[-2], self.images.shape[-1]

    def generator(self, stream: int = 0) -> torch.Generator:
        """Return a generator that gives the same numbers whenever it is asked for."""
        return torch.Generator().manual_seed(self.seed * 1009 + stream)

    @cached_property
    def whole(self) -> Float64[np.ndarray, " b"]:
        """Probability of the target on the pictures as they are."""
        return self.probabilities(torch.arange(self.count), lambda rows, _: self.images[rows])

    def probabilities(
        self, rows: Int64[Tensor, " n"], make: Callable[[Tensor, slice], Tensor]
    ) -> Float64[np.ndarray, " n"]:
        """Return the probability of the target on pictures that are made on the way.

        Args:
            rows: Which of the pictures each is made from.
            make: Rows (m,) of a batch and its place among all n -> the pictures (m, C, H, W).
        """
        return self._asked(rows, make, lambda score, output: score.probabilities(output))

    def logits(
        self, rows: Int64[Tensor, " n"], make: Callable[[Tensor, slice], Tensor]
    ) -> Float64[np.ndarray, " n"]:
        """Return the logit of the target on pictures that are made on the way; see ``probabilities``."""
        return self._asked(rows, make, lambda score, output: score.logits(output))

    def _asked(
        self,
        rows: Int64[Tensor, " n"],
        make: Callable[[Tensor, slice], Tensor],
        read: Callable[[Score, object], Tensor],
    ) -> Float64[np.ndarray, " n"]:
        found = []
        with eval_no_grad(self.model):
            for part in self.parts(len(rows)):
                some = rows[part]
                output = _precise(self.model(make(some, part)))
                found.append(read(self.score.of(some), output).detach().cpu().double().numpy())
        return np.concatenate(found) if found else np.zeros(0)

    def parts(self, count: int) -> Iterator[slice]:
        """Yield the parts of ``count`` pictures that go through the model at once."""
        step = max(1, min(self.batch, _MOST_NUMBERS // max(1, self.images[0].numel())))
        for first in range(0, count, step):
            yield slice(first, min(first + step, count))


def log_odds(p: np.ndarray) -> np.ndarray:
    """Return ln(p / (1 - p)); finite, as p is kept 1e-12 away from 0 and 1."""
    p = np.clip(p, 1e-12, 1 - 1e-12)
    return np.log(p) - np.log1p(-p)


def _precise(output: object) -> object:
    """Return logits in float64, in which a softmax of 1 - 1e-12 is not 1."""
    return output.double() if isinstance(output, Tensor) and output.is_floating_point() else output


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed PyTorch's default generators inside a ``with`` block, for methods that draw from them."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
