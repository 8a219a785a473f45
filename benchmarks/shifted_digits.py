"""Handwritten digits of scikit-learn, 28 x 28 pixels and off centre, as folders of images by split and class.

    python -c 'from benchmarks.shifted_digits import write; print(write("digits"))'

Each of the 1,797 digits of 8 x 8 pixels is enlarged to 28 x 28 (bicubic) and shifted by up to 4 pixels either
way; what leaves the picture is lost. 1,297 digits are trained on, each in ten shifts; 500 test, each in one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

SIDE, REACH = 28, 4  # pixels
TEST, COPIES = 500, 10  # digits; shifts of every training digit


def write(folder: Path | str, copies: int = COPIES) -> dict[str, int]:
    """Write the images, always the same ones, and return how many there are of each split."""
    folder = Path(folder)
    digits = load_digits()
    train, test = train_test_split(
        np.arange(len(digits.target)), test_size=TEST, stratify=digits.target, random_state=0
    )
    draws, counts = np.random.default_rng(0), {}
    for split, numbers in (("train", train), ("test", test)):
        times = copies if split == "train" else 1
        for number in numbers:
            home = folder / split / str(digits.target[number])
            home.mkdir(parents=True, exist_ok=True)
            for copy in range(times):
                image = shifted(enlarged(digits.images[number]), *draws.integers(-REACH, REACH + 1, size=2))
                Image.fromarray(image).save(home / f"{number:04d}_{copy}.png")
        counts[split] = times * len(numbers)
    return counts


def enlarged(digit: np.ndarray) -> np.ndarray:
    """Return a digit of 8 x 8 values from 0 to 16 as 28 x 28 bytes."""
    small = Image.fromarray(np.round(digit * 255 / 16).astype(np.uint8))
    return np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def shifted(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """Return an image moved by whole pixels, with zeros where nothing was.

    Example:
        >>> shifted(np.array([[1, 2], [3, 4]]), 1, -1).tolist()
        [[0, 0], [2, 0]]
    """
    moved = np.zeros_like(image)
    height, width = image.shape
    rows, columns = slice(max(down, 0), height + min(down, 0)), slice(max(right, 0), width + min(right, 0))
    sources = slice(max(-down, 0), height + min(-down, 0)), slice(max(-right, 0), width + min(-right, 0))
    moved[rows, columns] = image[sources]
    return moved


def fully_connected(classes: int = 10) -> nn.Module:
    """Return the network that sees every pixel at once: two hidden layers of 256, as in the paper of RAM."""
    layers = [nn.Flatten(), nn.Linear(3 * SIDE**2, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(256, classes))
