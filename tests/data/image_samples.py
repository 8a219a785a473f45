"""Small images for the tests of data: each number gives another picture."""

from pathlib import Path

import numpy as np
from PIL import Image


def pixels(number, height=24, width=32):
    """Smooth and colourful, so that JPEG keeps it and no two numbers look alike."""
    coarse = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def save(path: Path, number, height=24, width=32, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(number, height, width)).save(path, **options)
    return path


def make_folder(root: Path, splits=("train", "test"), classes=("cat", "dog"), each=6, suffix=".png"):
    """A folder of images; no two files are the same."""
    number = 0
    for split in splits:
        for label in classes:
            for item in range(each):
                save(root / split / label / f"{item}{suffix}", number)
                number += 1
    return root
