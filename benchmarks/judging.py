"""How fast maps are judged: batched, beside one perturbed picture at a time, in processor time.

    python -m benchmarks.judging

``ours`` judges 6 maps of 200 pictures by deletion with 21 points: every forward pass holds many perturbed
pictures, made on the way from ranks. ``one by one`` is the loop that is usually written: for each picture
and step a copy, the pixels set, a forward pass. Both take turns, and their curves are compared.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor, nn

import foveate as fv

PICTURES, MAPS, STEPS, SIDE = 200, 6, 20, 32
LOOPED = 3  # pictures that go one by one: the whole would take minutes
TURNS = 3


def one_by_one(model: nn.Module, images: Tensor, maps: Tensor) -> np.ndarray:
    """Return deletion curves (B, 21), one perturbed picture at a time."""
    curves = []
    with torch.no_grad():
        for image, importance in zip(images, maps, strict=True):
            target = int(model(image[None]).argmax())
            order = importance.flatten().argsort(descending=True, stable=True)
            curve = []
            for count in np.linspace(0, SIDE * SIDE, STEPS + 1).round().astype(int):
                changed = image.clone()
                changed.view(3, -1)[:, order[:count]] = 0
                curve.append(float(model(changed[None]).double().softmax(dim=1)[0, target]))
            curves.append(curve)
    return np.array(curves)


def main() -> None:
    torch.manual_seed(0)
    model = fv.create_model("resnet8", classes=10).eval()
    images, maps = torch.randn(PICTURES, 3, SIDE, SIDE), torch.rand(MAPS, PICTURES, SIDE, SIDE)
    named = {f"map {i}": one for i, one in enumerate(maps)}
    text = f"deletion(steps={STEPS})"

    def ours(count: int, given: dict[str, Tensor]):
        part = {name: one[:count] for name, one in given.items()}
        return fv.judge(model, images[:count], part, text, baselines=(), grid=None)

    ours(4, named)  # warm
    ratios, apart = [], 0.0
    for _ in range(TURNS):
        start = time.process_time()
        slow = one_by_one(model, images[:LOOPED], maps[0][:LOOPED])
        middle = time.process_time()
        fast = ours(PICTURES, {"map 0": maps[0]})[text]
        end = time.process_time()
        ratios.append((middle - start) / LOOPED / ((end - middle) / PICTURES))
        apart = max(apart, float(np.abs(fast.curves["curve"][:LOOPED] - slow).max()))
    print(f"one by one over ours: {min(ratios):.1f} to {max(ratios):.1f} (curves differ by {apart:.1e})")
    start, wall = time.process_time(), time.perf_counter()
    ours(PICTURES, named)
    spent, waited = time.process_time() - start, time.perf_counter() - wall
    print(
        f"{PICTURES} pictures x {STEPS + 1} points x {MAPS} maps, resnet8 at {SIDE} px: {spent:.1f} s of "
        f"processor time, {waited:.1f} s on {torch.get_num_threads()} threads"
    )


if __name__ == "__main__":
    main()
