"""Megapixel scenes as files: tiled TIFFs and a table that says their class, split, and where the digits are.

A scene is written tile by tile, so that its size takes disk, not memory; black tiles take next to nothing.

    FOLDER/manifest.csv             path,label,split,boxes
    FOLDER/train/train-000000.tif   grey, in tiles of 256 pixels a side
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from foveate.data.base import Split
from foveate.data.megapixel.scene_picture import ScenePicture
from foveate.data.open import MEGAPIXEL, open_data
from foveate.errors import DataError, MissingExtraError
from foveate.files import replacing

TILE = 256  # pixels a side of a file's tiles
MANIFEST = "manifest.csv"


def write_megapixel(folder: str | Path, **options: Any) -> Path:
    """Write megapixel scenes as files; those that are there already are left.

    Args:
        folder: Where to.
        options: Of ``megapixel``.

    Returns:
        The table, which ``open_data(table, large=True)`` opens.

    Raises:
        OptionError: An option is out of range.
        DataError: The folder cannot be written.
        MissingExtraError: tifffile is not installed.

    Example:
        >>> write_megapixel("scenes15k", size=15_000, train=100, test=50)  # doctest: +SKIP
        PosixPath('scenes15k/manifest.csv')
    """
    try:
        import tifffile  # noqa: F401
    except ImportError:
        raise MissingExtraError("tifffile", "large", "writing tiled TIFFs") from None
    data, folder = open_data(f"{MEGAPIXEL}()", **options), Path(folder)
    rows = []
    try:
        for name, split in data.splits.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            for item in range(len(split)):
                path = folder / name / f"{split.names[item]}.tif"
                if not path.exists():
                    write_scene(path, split, item)
                rows.append(
                    (f"{name}/{path.name}", data.classes[split.targets[item]], name, _boxes(split, item))
                )
        with replacing(folder / MANIFEST) as part, part.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("path", "label", "split", "boxes"), *rows])
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror}). Choose another folder.") from None
    return folder / MANIFEST


def write_scene(path: Path, split: Split, item: int) -> None:
    """Write one of the scenes of a split as a tiled TIFF."""
    from tifffile import imwrite

    assert split.pictures is not None
    picture = split.pictures(item)
    assert isinstance(picture, ScenePicture)
    with replacing(path) as part:
        imwrite(
            part,
            _tiles(picture),
            shape=picture.size,
            dtype=np.uint8,
            tile=(TILE, TILE),
            compression="zlib",
            photometric="minisblack",
        )


def _tiles(picture: ScenePicture) -> Iterator[np.ndarray]:
    height, width = picture.size
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            tile = np.zeros((TILE, TILE), dtype=np.uint8)
            inside = picture.grey((top, left, min(TILE, height - top), min(TILE, width - left)))
            tile[: inside.shape[0], : inside.shape[1]] = inside
            yield tile


def _boxes(split: Split, item: int) -> str:
    assert split.boxes is not None
    return "; ".join(" ".join(map(str, box)) for box in split.boxes(item).tolist())
