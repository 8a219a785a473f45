"""A model trained for a moment, and a few pictures, good and bad."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from foveate.recipe import TrainConfig
from foveate.train.progress import Silent
from foveate.train.train_one import train

DATA = "scenes(size=24, train=16, val=0, test=12, classes=2)"


def trained(folder: Path) -> Path:
    """Return the folder of a training on scenes."""
    quick = TrainConfig(batch_size=8)
    train(DATA, model="resnet8(width=4)", out=folder, train=quick, epochs=1, progress=Silent())
    return folder


def photo(path: Path, seed: int = 0) -> Path:
    """Write a picture and return its path."""
    pixels = np.random.default_rng(seed).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def bomb(path: Path, side: int = 30_000) -> Path:
    """Write a PNG whose head promises a picture of ``side`` x ``side`` pixels, in a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", b"\x78\x9c") + chunk(b"IEND", b""))
    return path
