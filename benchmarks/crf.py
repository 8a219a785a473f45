"""The dense CRF: how fast beside pydensecrf, and how near to exact kernels.

    python -m benchmarks.crf [--exact]

One thread, processor time, the two sides taking turns, medians. The picture is a scene painted large, the
logits follow its brightness with noise. pydensecrf builds only in some places (``pip install pydensecrf2``):
without it ours stand alone. ``--exact`` adds mean field with all pairs of pixels of a 96x128 picture.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

from foveate.data.scenes import scenes
from foveate.models.crf import DenseCRF

SIZE = (360, 480)
CASES = ((12, 5), (12, 10), (21, 5), (21, 10))
TURNS = 3


def picture(size: tuple[int, int]) -> torch.Tensor:
    """Return a scene (1, 3, H, W), enlarged, 0 to 255."""
    data = scenes(train=1, val=0, test=1, size=64)
    large = Image.fromarray(data.splits["test"].load(0)).resize(size[::-1], Image.Resampling.BICUBIC)
    noise = np.random.default_rng(0).normal(0, 4, (*size, 3))
    pixels = (np.asarray(large) + noise).clip(0, 255).round()
    return torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]


def logits(image: torch.Tensor, labels: int) -> torch.Tensor:
    """Return what a weak network might say: the picture's brightness in steps, and noise."""
    bright = image.mean(dim=1)
    steps = ((bright - bright.min()) / (bright.max() - bright.min() + 1) * labels).long()
    clean = 2.0 * torch.nn.functional.one_hot(steps, labels).permute(0, 3, 1, 2)
    return clean + torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))


def theirs(image: torch.Tensor, given: torch.Tensor, iterations: int) -> Callable[[], np.ndarray]:
    """Return pydensecrf's set-up and inference."""
    library = importlib.import_module("pydensecrf.densecrf")
    labels, (height, width) = given.shape[1], given.shape[2:]
    pixels = np.ascontiguousarray(image[0].permute(1, 2, 0).to(torch.uint8).numpy())
    unary = np.ascontiguousarray(-given[0].flatten(1).numpy())

    def run() -> np.ndarray:
        crf = library.DenseCRF2D(width, height, labels)
        crf.setUnaryEnergy(unary)
        crf.addPairwiseGaussian(sxy=3, compat=3)
        crf.addPairwiseBilateral(sxy=80, srgb=13, rgbim=pixels, compat=10)
        return np.array(crf.inference(iterations)).reshape(labels, height, width)

    return run


def ours(image: torch.Tensor, given: torch.Tensor, iterations: int) -> Callable[[], np.ndarray]:
    """Return ours, set-up and inference."""
    crf = DenseCRF(given.shape[1], iterations=iterations, method="fast")

    def run() -> np.ndarray:
        with torch.no_grad():
            return crf(given, image).softmax(1)[0].numpy()

    return run


def timed(run: Callable[[], np.ndarray]) -> float:
    """Return processor seconds."""
    began = time.process_time()
    run()
    return time.process_time() - began


def main() -> None:
    """Print the tables."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--exact", action="store_true", help="compare with all pairs of pixels")
    exact = words.parse_args().exact
    torch.set_num_threads(1)
    peer = importlib.util.find_spec("pydensecrf") is not None
    if not peer:
        print("pydensecrf is not installed: ours alone")
    image = picture(SIZE)
    print(f"{'labels':>6} {'iterations':>10} {'ours, s':>9} {'theirs, s':>9} {'gain':>6} {'same labels':>12}")
    for labels, iterations in CASES:
        given = logits(image, labels)
        sides = [ours(image, given, iterations)] + ([theirs(image, given, iterations)] if peer else [])
        found = [run() for run in sides]  # compiles, too
        spans = [[timed(run) for run in sides] for _ in range(TURNS)]
        middle = [statistics.median(turn[side] for turn in spans) for side in range(len(sides))]
        line = f"{labels:>6} {iterations:>10} {middle[0]:>9.2f}"
        if peer:
            gain = statistics.median(turn[1] / turn[0] for turn in spans)
            same = 100 * float((found[0].argmax(0) == found[1].argmax(0)).mean())
            line += f" {middle[1]:>9.2f} {gain:>6.2f} {same:>10.2f} %"
        print(line, flush=True)
    if exact:
        small = picture((96, 128))
        given = logits(small, 12)
        with torch.no_grad():
            all_pairs = DenseCRF(12, method="exact")(given, small).argmax(1)
            lattice = DenseCRF(12, method="fast")(given, small).argmax(1)
        same = 100 * float((all_pairs == lattice).float().mean())
        print(f"same labels as exact kernels, 96x128, 12 labels: {same:.2f} %")


if __name__ == "__main__":
    main()
