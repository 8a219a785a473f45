"""How fast maps are judged: batched, beside one perturbed picture at a time, in processor time.

    python -m benchmarks.judging

``ours`` judges maps by deletion with 21 points: every forward pass holds many perturbed pictures, made on the
way from ranks, and intervals follow. ``one by one`` is the loop that is usually written: for each picture and
step a copy, the pixels set, a forward pass. Both take turns, and their curves are compared.

How much there is to gain depends on the network: the *ceiling* printed beside is what the network itself
gains, its time for pictures one by one over its time for the same pictures in batches. On a processor a
convolution does the same work for a picture alone as in a batch, so that what a batch saves is the cost of
the calls. That is most of the time where a network is small and its pictures are, and little where it is not:
``small``, four convolutions at 8 px, and ``resnet8`` at 32 px are such.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

import foveate as fv
from foveate.explain.judging.read_subject import usual_batch

PICTURES, MAPS, STEPS = 200, 6, 20
LOOPED = 3  # pictures that go one by one: the whole would take minutes
TURNS = 5
TEXT = f"deletion(steps={STEPS})"


def one_by_one(model: nn.Module, images: Tensor, maps: Tensor) -> np.ndarray:
    """Return deletion curves (B, 21), one perturbed picture at a time."""
    curves = []
    with torch.no_grad():
        for image, importance in zip(images, maps, strict=True):
            target = int(model(image[None]).argmax())
            order = importance.flatten().argsort(descending=True, stable=True)
            curve = []
            for count in np.linspace(0, image[0].numel(), STEPS + 1).round().astype(int):
                changed = image.clone()
                changed.view(3, -1)[:, order[:count]] = 0
                curve.append(float(model(changed[None]).double().softmax(dim=1)[0, target]))
            curves.append(curve)
    return np.array(curves)


def small() -> nn.Module:
    """Return four convolutions, a mean and a linear layer."""
    widths = (3, 8, 8, 8, 8)
    layers = [
        part for i, o in itertools.pairwise(widths) for part in (nn.Conv2d(i, o, 3, padding=1), nn.ReLU())
    ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))


def seconds(call: Callable[[], object]) -> float:
    started = time.process_time()
    call()
    return time.process_time() - started


def judged(name: str, model: nn.Module, side: int) -> None:
    """Print how much faster maps of a network are judged, and how much faster they could be."""
    images, maps = torch.randn(PICTURES, 3, side, side), torch.rand(MAPS, PICTURES, side, side)

    def ours(count: int, given: dict[str, Tensor]):
        part = {name: one[:count] for name, one in given.items()}
        return fv.judge(model, images[:count], part, TEXT, baselines=(), grid=None)

    @torch.no_grad()
    def alone() -> None:
        for image in images[: LOOPED * 7]:
            model(image[None])

    @torch.no_grad()
    def batched() -> None:
        for part in images.contiguous(memory_format=torch.channels_last).split(usual_batch(images)):
            model(part)

    ours(4, {"map": maps[0]})  # warm
    gained, ceiling, apart = [], [], 0.0
    for _ in range(TURNS):
        start = time.process_time()
        slow = one_by_one(model, images[:LOOPED], maps[0][:LOOPED])
        middle = time.process_time()
        fast = ours(PICTURES, {"map": maps[0]})[TEXT]
        end = time.process_time()
        gained.append((middle - start) / LOOPED / ((end - middle) / PICTURES))
        ceiling.append(seconds(alone) / (LOOPED * 7) / (seconds(batched) / PICTURES))
        apart = max(apart, float(np.abs(fast.curves["curve"][:LOOPED] - slow).max()))
    print(
        f"{name}: {statistics.median(gained):.1f} times as fast as one by one ({min(gained):.1f} to "
        f"{max(gained):.1f}); the network alone gains {statistics.median(ceiling):.1f}; curves differ by "
        f"{apart:.1e}",
        flush=True,
    )
    start, wall = time.process_time(), time.perf_counter()
    ours(PICTURES, {f"map {i}": one for i, one in enumerate(maps)})
    spent, waited = time.process_time() - start, time.perf_counter() - wall
    print(
        f"  {PICTURES} pictures x {STEPS + 1} points x {MAPS} maps: {spent:.1f} s of processor time, "
        f"{waited:.1f} s on {torch.get_num_threads()} threads",
        flush=True,
    )


def main() -> None:
    torch.manual_seed(0)
    judged("small, 8 px", small().eval(), 8)
    judged("resnet8, 32 px", fv.create_model("resnet8", classes=10).eval(), 32)


if __name__ == "__main__":
    main()
