"""Random numbers that depend on the seed and the step alone.

The generator is seeded again before every step. So a run needs no stored generator state to be continued to
the bit, and two variants of a model draw the same dropout at the same step, however many numbers each of them
uses: common random numbers, which is what pairs the runs of a study.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_log = logging.getLogger("foveate")

_MASK = (1 << 64) - 1


def step_seed(seed: int, step: int) -> int:
    """Return a number in [0, 2**63) that looks unrelated for neighbouring seeds and steps."""
    return _mix(_mix(seed & _MASK) ^ (step & _MASK)) >> 1


def _mix(x: int) -> int:
    """Scramble 64 bits: the finaliser of SplitMix64 (Steele, Lea, Flood 2014)."""
    x = (x + 0x9E3779B97F4A7C15) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def seed_step(device: torch.device, seed: int, step: int) -> None:
    """Seed the generators that a step on ``device`` draws from.

    ``torch.manual_seed`` would do it for every kind of device there is, which costs half a millisecond.
    """
    number = step_seed(seed, step)
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        torch.cuda.manual_seed(number)
    elif device.type == "mps":
        torch.mps.manual_seed(number)


@contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """Leave the caller's generators as they were, and choose reproducible kernels on CUDA."""
    cuda = [device] if device.type == "cuda" else []
    before = (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark)
    with torch.random.fork_rng(devices=cuda):
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
        try:
            yield
        finally:
            torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = before


def warn_of_threads(before: int | None, what: str) -> None:
    """Warn if resumed work was started with another number of threads.

    Sums are split among the threads, so that another number gives other last bits.
    """
    now = torch.get_num_threads()
    if before not in (None, now):
        _log.warning(
            "%s was started with %d threads and resumes with %d: results will differ in the last digits from "
            "those of an uninterrupted run. For the same bits set OMP_NUM_THREADS=%d.",
            *(what, before, now, before),
        )
