"""Data path: a folder of JPEGs to normalised batches, from the second epoch, against torchvision.

Each side gets the same files, the same kind of augmentation and equal batches; the two take turns, and the
ratio is the median over turns. Theirs: ImageFolder (with masks a dataset that opens both files, and
transforms v2) and DataLoader(num_workers=2, persistent). Ours: open_data, cache, batches.

    python -m benchmarks.data [--turns 5] [--items 5000] [--only camvid]

Reads cifar10, chest_xray and camvid from FOVEATE_DATA (default ../shared/data) where they are; otherwise
makes files of their kind.
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
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms, tv_tensors
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from foveate.data.batches import train_batches
from foveate.data.cache import cache
from foveate.data.open import open_data

BATCH = 64
TARGET = 2.0
HALF = (0.5, 0.5, 0.5)
CANVAS, CROP, MASK_BATCH = (180, 240), (160, 208), 16
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
    parser.add_argument("--only", choices=[*SETS, "camvid"], help="one set alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        for name, (size, augment) in SETS.items():
            if options.only in (None, name):
                folder, real = _folder(Path(place), name, size, options.items)
                row = {"set": name if real else f"generated {size}", "size": size, "augment": augment}
                print(json.dumps(row | measure(folder, size, augment, options.turns, Path(place))))
        if options.only in (None, "camvid"):
            folder, real = _mask_folder(Path(place))
            row = {"set": "camvid" if real else "generated masks", "size": CANVAS, "crop": CROP}
            for augment in ("crop_flip", "resized_crop"):
                print(
                    json.dumps(
                        row
                        | {"augment": augment}
                        | measure_masks(folder, augment, options.turns, Path(place))
                    )
                )


def measure(folder, size, augment, turns, place):
    """Return images per second of both on images with labels."""
    steps = [*THEIRS[augment](size), transforms.ToTensor(), transforms.Normalize(HALF, HALF)]
    images = ImageFolder(folder / "train", transforms.Compose(steps))
    loader = DataLoader(
        images, batch_size=BATCH, shuffle=True, num_workers=2, persistent_workers=True, drop_last=True
    )
    started = time.perf_counter()
    split = cache(open_data(folder), size=size, folder=place / "cache")["train"]
    built = time.perf_counter() - started
    return _in_turn(
        loader,
        lambda turn: train_batches(split, batch_size=BATCH, seed=0, epoch=turn, augment=augment),
        turns,
    ) | {"items": len(split), "cache_seconds": round(built, 2)}


class Pairs(Dataset):
    """Images and masks as a user of torchvision reads them."""

    def __init__(self, folder, steps):
        self.images, self.masks = (
            sorted((folder / "train" / part).iterdir()) for part in ("images", "masks")
        )
        self.steps = steps

    def __len__(self):
        return len(self.images)

    def __getitem__(self, item):
        image = tv_tensors.Image(Image.open(self.images[item]).convert("RGB"))
        return self.steps(image, tv_tensors.Mask(Image.open(self.masks[item])))


def measure_masks(folder, augment, turns, place):
    """Return images per second of both on images with masks."""
    fill = {tv_tensors.Image: 0, tv_tensors.Mask: 255}
    scale = (
        [v2.ScaleJitter(CANVAS, scale_range=(0.5, 2.0), antialias=True)] if augment == "resized_crop" else []
    )
    steps = [
        v2.Resize(CANVAS, antialias=True),
        *scale,
        v2.RandomCrop(CROP, pad_if_needed=True, fill=fill),
        v2.RandomHorizontalFlip(),
        v2.ToDtype({tv_tensors.Image: torch.float32, tv_tensors.Mask: torch.int64}, scale=True),
        v2.Normalize(HALF, HALF),
    ]
    loader = DataLoader(
        Pairs(folder, v2.Compose(steps)),
        batch_size=MASK_BATCH,
        shuffle=True,
        num_workers=2,
        persistent_workers=True,
        drop_last=True,
    )
    started = time.perf_counter()
    split = cache(open_data(folder), size=CANVAS, folder=place / "cache")["train"]
    built = time.perf_counter() - started
    words = {"crop": CROP, "augment": augment}
    return _in_turn(
        loader,
        lambda turn: train_batches(split, batch_size=MASK_BATCH, seed=0, epoch=turn, rare=0.5, **words),
        turns,
    ) | {"items": len(split), "cache_seconds": round(built, 2)}


def _in_turn(loader, batches, turns):
    """Return images per second of both, medians over turns, after one epoch each that is not counted."""
    theirs, ours = [], []
    for turn in range(turns + 1):
        theirs.append(_rate((len(truth) for _, truth in loader)))
        ours.append(_rate(len(batch) for batch in batches(turn)))
    ratios = [mine / other for mine, other in zip(ours[1:], theirs[1:], strict=True)]
    return {
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


def _mask_folder(place):
    archive = Path(os.environ.get("FOVEATE_DATA", "../shared/data")) / "camvid.tar"
    if archive.is_file():
        with tarfile.open(archive) as packed:
            packed.extractall(place, filter="data")
        return place / "camvid", True
    generator, folder = np.random.default_rng(0), place / "masks"
    for split, count in (("train", 367), ("test", 20)):
        for part in ("images", "masks"):
            (folder / split / part).mkdir(parents=True)
        for number in range(count):
            coarse = Image.fromarray(generator.integers(0, 256, (9, 12, 3), dtype=np.uint8))
            coarse.resize((480, 360)).save(folder / split / "images" / f"{number}.jpg", quality=92)
            classes = Image.fromarray(generator.integers(0, 11, (9, 12), dtype=np.uint8))
            classes.resize((480, 360), Image.NEAREST).save(folder / split / "masks" / f"{number}.png")
    return folder, False


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
