"""Features computed once: an epoch over pictures that reads them beside one that runs the frozen encoder.

    python -m benchmarks.caption_features [--pictures 200] [--threads 1]

EfficientNet-Lite0 with its ImageNet weights, 224 pixels, float16 on disk. Pictures are those of Flickr8k-1k
from FOVEATE_DATA (default ../shared/data) where it is, else painted ones. Both sides give float32 features of
all pictures in batches of 50 in a new order; the encoder's pictures are decoded before, so that it alone is
measured, and again from their files. The last line adds what training a small captioner of 2 million weights
costs, if each caption of a picture is a pass by itself.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from foveate.data.feature_cache import Features, open_features
from foveate.data.picture_encoder import PictureEncoder
from foveate.models import create_model

BATCH, TURNS = 50, 3
TARGET = 10.0


def pictures(folder: Path, count: int) -> list[Path]:
    """Return files of pictures."""
    archive = Path(os.environ.get("FOVEATE_DATA", "../shared/data")) / "flickr8k_1k.tar.gz"
    if archive.is_file():
        with tarfile.open(archive) as packed:
            members = [member for member in packed if member.name.endswith(".jpg")][:count]
            packed.extractall(folder, members=members, filter="data")
        return [folder / member.name for member in members]
    print("Flickr8k-1k is not there: painted pictures of its size")
    random = np.random.default_rng(0)
    files = [folder / f"{number}.jpg" for number in range(count)]
    for file in files:
        coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        coarse.resize((500, 375), Image.Resampling.BICUBIC).save(file)
    return files


def epoch(features: Callable[[np.ndarray], Tensor], count: int, seed: int) -> float:
    """Return the processor time in which all batches are there."""
    order, start = np.random.default_rng(seed).permutation(count), time.process_time()
    for first in range(0, count, BATCH):
        features(order[first : first + BATCH])
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    encoder = PictureEncoder("benchmarks.lite0:pretrained", batch=BATCH)
    with tempfile.TemporaryDirectory() as place:
        files = pictures(Path(place) / "pictures", options.pictures)
        decoded = [encoder.pixels(file) for file in files]
        start = time.process_time()
        kept = open_features(files, encoder=encoder, folder=Path(place) / "cache")
        first = time.process_time() - start
        size = sum(file.stat().st_size for file in kept.files) / len(files)
        sides = {
            "read": lambda rows: kept[rows],
            "encoder": lambda rows: encoder.encode([decoded[row] for row in rows]),
            "files and encoder": lambda rows: encoder.encode([files[row] for row in rows]),
        }
        seconds = {
            name: statistics.median(
                epoch(side, len(files), turn) for turn in range(TURNS if name == "read" else 1)
            )
            for name, side in sides.items()
        }
    print(f"{len(files)} pictures, {kept.places[0]}x{kept.places[1]} places of {kept.channels} channels")
    print(f"{size / 1024:.0f} KiB a picture on disk; the first epoch, which writes them: {first:.1f} s")
    for name, spent in seconds.items():
        print(f"{name:18} {1000 * spent / len(files):8.2f} ms a picture")
    ratio = seconds["encoder"] / seconds["read"]
    print(f"an epoch that reads: {ratio:.0f} times as fast (to reach: {TARGET:.0f})")
    trained = step(kept)
    each = {name: spent / len(files) + trained for name, spent in seconds.items()}
    print(
        f"with a captioner's training step, {1000 * trained:.1f} ms a caption: "
        f"{each['encoder'] / each['read']:.1f} times as fast"
    )


def step(kept: Features) -> float:
    """Return the processor time of a small captioner's training step, for each caption."""
    model: Any = create_model(
        "show_attend_tell",
        classes=1060,
        channels=kept.channels,
        projection=256,
        attention="additive(hidden=256)",
        embedding=256,
        state=320,
        tied=True,
    )
    targets = torch.randint(4, 1060, (BATCH, 12))
    optimiser, spent = torch.optim.Adam(model.parameters(), 1e-3), []
    for _ in range(TURNS + 1):
        features, start = kept[np.arange(BATCH) % len(kept)], time.process_time()
        optimiser.zero_grad()
        model.loss(model(features, model.shifted(targets)), targets).backward()
        optimiser.step()
        spent.append(time.process_time() - start)
    return statistics.median(spent[1:]) / BATCH


if __name__ == "__main__":
    main()
