"""The dense CRF: how fast beside pydensecrf, and how near to exact kernels.

    python -m benchmarks.crf [--exact]

One thread, processor time, the sides taking turns, medians, at 480x360. The picture is a scene painted large,
the logits follow its brightness with noise. pydensecrf builds only in some places (``pip install
pydensecrf2``): without it ours stand alone. ``--exact`` shows instead, at 160x120, how many pixels get the
label that mean field over all pairs of pixels gives them, on four scenes and, where FOVEATE_DATA (default
../shared/data) has CamVid, on four of its test frames, whose logits are the true classes with noise. The
resolution of ``fine`` was chosen on scenes 1 and 2 and frames 20 and 160; the others are fresh.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import io
import os
import statistics
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from foveate.data.scenes.open_scenes import scenes
from foveate.models.crf import DenseCRF

SIZE, SMALL = (360, 480), (120, 160)
QUALITIES = ("fine", "fast")
SCENES, FRAMES = (1, 2, 3, 4), (20, 60, 160, 200)  # of CamVid's test frames, by name
CASES = ((12, 5), (12, 10), (21, 5), (21, 10))
TURNS = 3


def picture(size: tuple[int, int], number: int = 0) -> torch.Tensor:
    """Return a scene (1, 3, H, W), enlarged, 0 to 255."""
    data = scenes(train=1, val=0, test=number + 1, size=64)
    large = Image.fromarray(data.splits["test"].load(number)).resize(size[::-1], Image.Resampling.BICUBIC)
    noise = np.random.default_rng(0).normal(0, 4, (*size, 3))
    pixels = (np.asarray(large) + noise).clip(0, 255).round()
    return torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]


def logits(image: torch.Tensor, labels: int) -> torch.Tensor:
    """Return what a weak network might say: the picture's brightness in steps, and noise."""
    return noisy(brightness(image, labels), labels)


def brightness(image: torch.Tensor, labels: int) -> torch.Tensor:
    """Return the picture's brightness (1, H, W) in as many steps as there are labels."""
    bright = image.mean(dim=1)
    return ((bright - bright.min()) / (bright.max() - bright.min() + 1) * labels).long()


def noisy(classes: torch.Tensor, labels: int) -> torch.Tensor:
    """Return logits (1, L, H, W) that favour the classes (1, H, W) by 2, with noise of deviation 1."""
    clean = 2.0 * torch.nn.functional.one_hot(classes, labels).permute(0, 3, 1, 2)
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


def ours(image: torch.Tensor, given: torch.Tensor, iterations: int, method: str) -> Callable[[], np.ndarray]:
    """Return ours, set-up and inference."""
    crf = DenseCRF(given.shape[1], iterations=iterations, method=method)

    def run() -> np.ndarray:
        with torch.no_grad():
            return crf(given, image).softmax(1)[0].numpy()

    return run


def sides(image: torch.Tensor, given: torch.Tensor, iterations: int) -> dict[str, Callable[[], np.ndarray]]:
    """Return ours in both qualities and, where it is installed, pydensecrf."""
    found = {method: ours(image, given, iterations, method) for method in QUALITIES}
    if importlib.util.find_spec("pydensecrf") is not None:
        found["pydensecrf"] = theirs(image, given, iterations)
    return found


def timed(run: Callable[[], np.ndarray]) -> float:
    """Return processor seconds."""
    began = time.process_time()
    run()
    return time.process_time() - began


def speed() -> None:
    """Print seconds, and how many times as fast as pydensecrf ours are."""
    image = picture(SIZE)
    print("| labels | iterations | fine, s | fast, s | pydensecrf, s | fine, gain | fast, gain |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for labels, iterations in CASES:
        runs = sides(image, logits(image, labels), iterations)
        for run in runs.values():
            run()  # compiles, too
        turns = [{name: timed(run) for name, run in runs.items()} for _ in range(TURNS)]
        middle = {name: f"{statistics.median(turn[name] for turn in turns):.2f}" for name in runs}
        gains = [
            f"{statistics.median(turn['pydensecrf'] / turn[name] for turn in turns):.2f}"
            for name in QUALITIES
            if "pydensecrf" in runs
        ] or ["", ""]
        cells = [middle.get(name, "") for name in (*QUALITIES, "pydensecrf")]
        print(f"| {labels} | {iterations} | {' | '.join(cells + gains)} |", flush=True)


def pictures() -> Iterator[tuple[str, torch.Tensor, Callable[[int], torch.Tensor]]]:
    """Return names, pictures (1, 3, H, W) and what gives logits for a number of labels."""
    for number in SCENES:
        image = picture(SMALL, number)
        yield f"scene {number}", image, lambda labels, image=image: logits(image, labels)
    archive = Path(os.environ.get("FOVEATE_DATA", "../shared/data")) / "camvid.tar"
    if not archive.is_file():
        print(f"{archive} is not there: scenes alone")
        return
    with tarfile.open(archive) as packed:
        names = sorted(name for name in packed.getnames() if "/test/images/" in name)
        for number in FRAMES:
            photo, mask = (
                Image.open(io.BytesIO(packed.extractfile(name).read())).resize(SMALL[::-1], how)
                for name, how in (
                    (names[number], Image.Resampling.BICUBIC),
                    (
                        names[number].replace("images", "masks").replace(".jpg", ".png"),
                        Image.Resampling.NEAREST,
                    ),
                )
            )
            image = torch.from_numpy(np.array(photo, np.float32)).permute(2, 0, 1)[None]
            classes = torch.from_numpy(np.array(mask)).long()[None]
            yield f"frame {number}", image, lambda labels, classes=classes: noisy(classes, labels)


def exact(
    image: torch.Tensor, given: dict[int, torch.Tensor], iterations: tuple[int, ...]
) -> dict[tuple[int, int], np.ndarray]:
    """Return the labels (H, W) of mean field over all pairs, by (labels, iterations), written anew here.

    Both kernels are held as matrices: 3 GB at 160 x 120.
    """
    height, width = image.shape[2:]
    grid = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    place, colour = torch.stack(grid).flatten(1).T, image[0].flatten(1).T
    alike, near = torch.cat([place / 80, colour / 13], dim=1), place / 3

    def kernel(features: torch.Tensor) -> torch.Tensor:
        parts = (torch.cdist(part, features).square().div(-2).exp() for part in features.split(1024))
        full = torch.cat(list(parts))
        scale = full.sum(dim=1).rsqrt()
        return full.mul_(scale).mul_(scale[:, None])

    kernels = ((kernel(alike), 10), (kernel(near), 3))
    unary = [each[0].flatten(1).T for each in given.values()]
    states, found = list(unary), {}
    for step in range(1, max(iterations) + 1):
        q = torch.cat([state.softmax(dim=1) for state in states], dim=1)
        message = sum(weight * (each @ q) for each, weight in kernels)
        parts = message.split([each.shape[1] for each in unary], dim=1)
        states = [each + part for each, part in zip(unary, parts, strict=True)]
        if step in iterations:
            for labels, state in zip(given, states, strict=True):
                found[labels, step] = state.argmax(dim=1).view(height, width).numpy()
    return found


def nearness() -> None:
    """Print the share of pixels with the label of exact kernels."""
    # The kernel of most pairs of pixels is denormal, and that is ten times slower.
    torch.set_flush_denormal(True)
    head = " | ".join(f"{labels} labels, {iterations} iterations" for labels, iterations in CASES)
    print(f"| picture | who | {head} |\n| --- | --- |{' --- |' * len(CASES)}")
    for name, image, logits_for in pictures():
        given = {labels: logits_for(labels) for labels in (12, 21)}
        with torch.no_grad():
            expected = exact(image, given, (5, 10))
        cells: dict[str, list[str]] = {}
        for case in CASES:
            for who, run in sides(image, given[case[0]], case[1]).items():
                same = 100 * float((run().argmax(0) == expected[case]).mean())
                cells.setdefault(who, []).append(f"{same:.2f} %")
        for who, shares in cells.items():
            print(f"| {name} | {who} | {' | '.join(shares)} |", flush=True)


def main() -> None:
    """Print the tables."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--exact", action="store_true", help="the labels beside those of all pairs of pixels")
    torch.set_num_threads(1)
    if importlib.util.find_spec("pydensecrf") is None:
        print("pydensecrf is not installed: ours alone")
    nearness() if words.parse_args().exact else speed()


if __name__ == "__main__":
    main()
