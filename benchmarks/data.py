"""Data path: a folder of JPEGs to normalised batches, from the second epoch, against torchvision.

Each side gets the same files, the same kind of augmentation and batches of 64; the two take turns, and the
ratio is the median over turns. Theirs: ImageFolder + DataLoader(num_workers=2, persistent). Ours: open_data,
cache, batches.

    python benchmarks/data.py [--turns 5] [--items 5000]

Reads cifar10 and chest_xray from FOVEATE_DATA (default ../shared/data) where they are; otherwise makes JPEGs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from foveate.data.batches import train_batches
from foveate.data.cache import cache
from foveate.data.open import open_data

BATCH = 64
TARGET = 2.0
HALF = (0.5, 0.5, 0.5)
SETS = {"cifar10": (32, "crop_flip"), "chest_xray": (224, "resized_crop")}
THEIRS = {
    "crop_flip": lambda size: [
        transforms.RandomCrop(size, padding=size // 8),
        transforms.RandomHorizontalFlip(),
    ],
    "resized_crop": lambda size: [
        transforms.RandomResizedCrop(size, scale=(0.35, 1.0)),
        transforms.RandomHorizontalFlip(),
    ],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--items", type=int, default=5000, help="training images at most")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        for name, (size, augment) in SETS.items():
            folder, real = _folder(Path(place), name, size, options.items)
            row = {"set": name if real else f"generated {size}", "size": size, "augment": augment}
            print(json.dumps(row | measure(folder, size, augment, options.turns, Path(place))))


def measure(folder, size, augment, turns, place):
    """Return images per second of both, medians over turns, after one epoch each that is not counted."""
    steps = [*THEIRS[augment](size), transforms.ToTensor(), transforms.Normalize(HALF, HALF)]
    images = ImageFolder(folder / "train", transforms.Compose(steps))
    loader = DataLoader(
        images, batch_size=BATCH, shuffle=True, num_workers=2, persistent_workers=True, drop_last=True
    )
    started = time.perf_counter()
    split = cache(open_data(folder), size=size, folder=place / "cache")["train"]
    built = time.perf_counter() - started
    theirs, ours = [], []
    for turn in range(turns + 1):
        theirs.append(_rate((len(labels) for _, labels in loader)))
        batches = train_batches(split, batch_size=BATCH, seed=0, epoch=turn, augment=augment)
        ours.append(_rate(len(batch) for batch in batches))
    ratios = [mine / other for mine, other in zip(ours[1:], theirs[1:], strict=True)]
    return {
        "items": len(split),
        "cache_seconds": round(built, 2),
        "theirs_per_second": round(statistics.median(theirs[1:])),
        "ours_per_second": round(statistics.median(ours[1:])),
        "ratio": round(statistics.median(ratios), 2),
        "ratio_range": [round(min(ratios), 2), round(max(ratios), 2)],
        "target": TARGET,
        "reached": statistics.median(ratios) >= TARGET,
    }


def _rate(sizes):
    started = time.perf_counter()
    count = sum(sizes)
    return count / (time.perf_counter() - started)


def _folder(place, name, size, items):
    """Unpack the real set, or make JPEGs of its kind; return the folder and whether it is real."""
    archive = Path(os.environ.get("FOVEATE_DATA", "../shared/data")) / f"{name}.tar.gz"
    if not archive.is_file():
        return _generated(place / name, size, min(items, 2000)), False
    with tarfile.open(archive) as packed:
        packed.extractall(place, filter="data")
    for split in ("train", "test"):  # keep as many of each class as make up the number
        classes = sorted((place / name / split).iterdir())
        for label in classes:
            for surplus in sorted(label.iterdir())[items // len(classes) :]:
                surplus.unlink()
    shutil.rmtree(place / name / "val", ignore_errors=True)
    return place / name, True


def _generated(folder, size, items):
    generator = np.random.default_rng(0)
    for split, count in (("train", items), ("test", 20)):
        for number in range(count):
            target = folder / split / "ab"[number % 2]
            target.mkdir(parents=True, exist_ok=True)
            coarse = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((size, size)).save(target / f"{number}.jpg", quality=90)
    return folder


if __name__ == "__main__":
    main()
