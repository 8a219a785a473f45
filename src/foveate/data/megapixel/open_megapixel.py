"""Megapixel scenes as data: five small digits among noise, three of which are of the scene's class.

Painted where they are looked at, so that any size is there at once; ``write_megapixel`` writes them as files.
``Split.boxes`` says where the digits are.

Paper   Katharopoulos and Fleuret. Processing Megapixel Images with Deep Attention-Sampling Models. ICML 2019.
        arXiv:1905.03711, section 4.1, Megapixel-MNIST.
Differs scikit-learn's digits (8x8, enlarged to 28x28) stand in for MNIST's, or the user's own pictures. Noise
        is painted over digits, tiles and their zeros, as in the published code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from foveate.data.base import SPLITS, ImageData, Split
from foveate.data.images.open_image import MOST_PIXELS
from foveate.data.megapixel.digit_pool import DigitPool, handwritten, own_pictures
from foveate.data.megapixel.megapixel_layout import Scene, boxes, draw_scenes
from foveate.data.megapixel.scene_picture import ScenePicture
from foveate.errors import DataError, OptionError
from foveate.options import whole

VERSION = 1  # raise it whenever a pixel changes
SMALLEST, LARGEST = 500, 100_000  # pixels a side
_SEEDS = {"train": 1, "val": 2, "test": 0}  # added to the seed: those of train and test are the original's


def megapixel(
    *,
    size: int = 1500,
    train: int = 5000,
    val: int = 0,
    test: int = 1000,
    digits: int = 5,
    noise: int = 50,
    images: ImageData | None = None,
    seed: int = 0,
) -> ImageData:
    """Return megapixel scenes as data.

    Args:
        size: Height and width in pixels, 500 to 100,000.
        train: How many training scenes.
        val: How many validation scenes; 0 for no such split.
        test: How many test scenes.
        digits: How many digits a scene has; a bare majority is of its class.
        noise: How many tiles of noise.
        images: Small pictures with a class each that take the digits' place, made grey and 28 pixels a side
            (to ``open_data`` the path of their folder); handwritten digits if None.
        seed: Determines everything random.

    Raises:
        OptionError: An option is out of range.
        DataError: The pictures cannot be used.

    Example:
        >>> data = megapixel(size=3000, train=20, test=10)
        >>> data.splits["train"].pictures(3).size, data.splits["train"].boxes(3).shape
        ((3000, 3000), (5, 4))
    """
    if not SMALLEST <= whole("size", size) <= LARGEST:
        raise OptionError(f"megapixel: size={size} is not in {SMALLEST}..{LARGEST} pixels a side.")
    counts = dict(zip(SPLITS, (train, val, test), strict=True))
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < (name != "val"):
            raise OptionError(f"megapixel: {name}={count!r} is not a number of scenes. Write {name}=1000.")
    if not 1 <= digits <= 25 or not 1 <= noise <= 1000:  # 25 fit beside each other at 500
        raise OptionError(
            f"megapixel: digits={digits} and noise={noise}, expected 1 to 25 digits and 1 to 1000 tiles of "
            "noise."
        )
    names = [name for name, count in counts.items() if count]
    pools = {name: handwritten(name) if images is None else own_pictures(images, name) for name in names}
    classes = tuple(map(str, range(10))) if images is None else images.classes
    splits = {
        name: _split(name, pools[name], len(classes), (size, size), counts[name], digits, noise, seed)
        for name in names
    }
    recipe = {"size": size, **counts, "digits": digits, "noise": noise}
    contents = " ".join(pools[name].digest for name in names)
    digest = hashlib.sha256(f"megapixel {VERSION} {recipe} {seed} {classes} {contents}".encode())
    return ImageData(
        name="megapixel",
        classes=classes,
        splits=splits,
        origin={
            "source": "megapixel",
            "seed": seed,
            "options": recipe | ({} if images is None else {"images": images.origin["source"]}),
        },
        fingerprint=digest.hexdigest(),
    )


def scene_pictures(
    scenes: Sequence[Scene], patterns: np.ndarray, pool: DigitPool, size: tuple[int, int]
) -> Callable[[int], ScenePicture]:
    """Return a function from a scene's number to a picture that is painted where it is looked at."""
    ink, lines = _eight_bits(pool.pictures), _eight_bits(patterns)

    def picture(item: int) -> ScenePicture:
        scene = scenes[item]
        places = np.concatenate([scene.places, scene.noise])
        return ScenePicture(size, places, np.concatenate([ink[scene.digits], lines[scene.patterns]]))

    return picture


def _split(
    name: str,
    pool: DigitPool,
    classes: int,
    size: tuple[int, int],
    count: int,
    digits: int,
    noise: int,
    seed: int,
) -> Split:
    scenes, patterns = draw_scenes(
        pool.labels,
        classes=classes,
        size=size,
        count=count,
        digits=digits,
        noise=noise,
        seed=(seed + _SEEDS[name]) % 2**32,
    )
    pictures = scene_pictures(scenes, patterns, pool, size)

    def where(item: int) -> Int64[np.ndarray, "d 4"]:
        return boxes(scenes[item])

    return Split(
        names=tuple(f"{name}-{item:06d}" for item in range(count)),
        targets=np.array([scene.target for scene in scenes], dtype=np.int64),
        load=partial(_whole, pictures),
        look=partial(_mask, size, where) if size[0] * size[1] <= MOST_PIXELS else None,
        pictures=pictures,
        boxes=where,
    )


def _eight_bits(values: np.ndarray) -> UInt8[np.ndarray, "n 28 28"]:
    """Return values in [0, 1] as the original makes bytes of them: cut off, not rounded."""
    return (255 * values).astype(np.uint8)


def _whole(pictures: Callable[[int], ScenePicture], item: int) -> UInt8[np.ndarray, "h w 3"]:
    height, width = pictures(item).size
    if height * width > MOST_PIXELS:
        raise DataError(
            f"a scene of {width}x{height} pixels is not painted whole. Train a model that takes large "
            "pictures, or look at windows of Split.pictures."
        )
    return pictures(item).read([(0, 0, height, width)])[0]


def _mask(
    size: tuple[int, int], where: Callable[[int], Int64[np.ndarray, "d 4"]], item: int
) -> Bool[np.ndarray, "h w"]:
    mask = np.zeros(size, dtype=bool)
    for top, left, bottom, right in where(item):
        mask[top:bottom, left:right] = True
    return mask
