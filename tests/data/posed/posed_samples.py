"""Small pictures with classes and poses, written as files."""

import csv

import numpy as np
from PIL import Image


def write_pictures(folder, names, size=16):
    """Write different pictures, and return the folder."""
    random = np.random.default_rng(len(names))
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(folder / name)
    return folder


def write_table(folder, rows, columns=("path", "label", "angle"), size=16):
    """Write pictures and a table of them, and return the table."""
    write_pictures(folder, [row[0] for row in rows], size)
    with (folder / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return folder / "table.csv"


def posed_rows(count=40):
    """Return rows of two classes and angles from -40 to 38."""
    return [(f"p{n:02d}.png", ("cat", "dog")[n % 2], 2 * n - 40) for n in range(count)]
