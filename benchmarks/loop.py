"""Throughput of ``fit`` beside a bare PyTorch loop: the same model, recipe and images, all in memory.

    python -m benchmarks.loop

The bare loop has its images ready as normalised floats, channels last, and does nothing but index, forward,
backward, clip and step. Both take turns in one process, a few steps each, and the median of the ratios of
neighbouring turns is printed: whatever else the machine does then hits both. Target: at least 0.97.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from foveate.data.cached_split import CachedSplit
from foveate.data.image_feed import ImageFeed
from foveate.models import create_model
from foveate.tasks import tasks
from foveate.train import TrainConfig, fit
from foveate.train.progress import Silent

ITEMS = 4096


def images_in_memory(side: int) -> CachedSplit:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (ITEMS, side, side, 3), dtype=np.uint8).transpose(0, 3, 1, 2)
    return CachedSplit(images, rng.integers(0, 10, ITEMS), tuple(map(str, range(ITEMS))))


def bare_steps(model: nn.Module, split: CachedSplit, batch_size: int) -> Iterator[None]:
    """Yield after every step of the loop that one would write by hand."""
    images = torch.from_numpy(np.ascontiguousarray(split.images)).float().div_(127.5).sub_(1)
    images = images.to(memory_format=torch.channels_last)
    targets = torch.from_numpy(split.targets)
    model = model.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    while True:
        for chosen in torch.randperm(ITEMS).split(batch_size):
            loss = F.cross_entropy(model(images[chosen]), targets[chosen])
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            yield


class Turns(Silent):
    """Lets the bare loop take a turn after every turn of ``fit``, and times both."""

    def __init__(self, bare: Callable[[], None], steps: int, clock: Callable[[], float]) -> None:
        self.bare, self.steps, self.clock = bare, steps, clock
        self.ours: list[float] = []
        self.theirs: list[float] = []
        self.began = 0.0

    def advance(self, done: int) -> None:
        """Time the turn of ``fit`` that is over, and give the bare loop its own."""
        if done % self.steps:
            return
        now = self.clock()
        if done > self.steps:  # the first turn warms up
            self.ours.append(now - self.began)
        for _ in range(self.steps):
            self.bare()
        self.began = self.clock()
        if done > self.steps:
            self.theirs.append(self.began - now)

    def ratios(self) -> list[float]:
        """Throughput of each turn of ``fit`` against the bare turns right before and after it."""
        around = zip(self.theirs, self.theirs[1:], strict=False)
        return [(a + b) / 2 / ours for ours, (a, b) in zip(self.ours[1:], around, strict=True)]


def compare(side: int, augment: str, options: argparse.Namespace) -> Turns:
    split, steps, batch_size = images_in_memory(side), options.steps, options.batch_size
    model = create_model("resnet8", classes=10, width=options.width)
    bare = bare_steps(copy.deepcopy(model), split, batch_size)
    watch = Turns(lambda: next(bare), steps, time.process_time if options.cpu_time else time.perf_counter)
    config = TrainConfig(
        epochs=1000, batch_size=batch_size, augment=augment, max_steps=steps * (options.turns + 2)
    )
    feeds = {"train": ImageFeed(split, config)}
    with tempfile.TemporaryDirectory() as folder:
        fit(model, tasks["classification"](), feeds, config, Path(folder), progress=watch)
    return watch


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--steps", type=int, default=5, help="steps a turn")
    parser.add_argument("--sides", type=int, nargs="+", default=[32])
    parser.add_argument("--augment", nargs="+", default=["none"])
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument(
        "--cpu-time", action="store_true", help="count CPU seconds: for a machine that others use too"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for side, augment in itertools.product(options.sides, options.augment):
        watch = compare(side, augment, options)
        ratios = sorted(watch.ratios())
        images = options.steps * options.batch_size
        quarter = len(ratios) // 4
        print(
            f"resnet8 width {options.width}, {side} px, batch {options.batch_size}, augment {augment}: "
            f"fit {images / statistics.median(watch.ours):.0f} images/s, "
            f"bare {images / statistics.median(watch.theirs):.0f} images/s, "
            f"ratio {statistics.median(ratios):.3f} "
            f"(middle half {ratios[quarter]:.3f} to {ratios[-quarter - 1]:.3f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
