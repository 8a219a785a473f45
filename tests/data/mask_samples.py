"""Small masks for the tests of data: blocks of classes, another pattern for each number."""

import numpy as np
from PIL import Image

from tests.data.image_samples import save


def labels(number, height=24, width=32, classes=3):
    """Blocks of 4 x 4 pixels, each of one class; all classes occur."""
    blocks = np.random.default_rng(number).integers(0, classes, (-(-height // 4), -(-width // 4)))
    blocks.flat[:classes] = range(classes)
    return np.kron(blocks, np.ones((4, 4), dtype=int))[:height, :width].astype(np.uint8)


def save_mask(path, mask, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, mask)
    elif path.suffix == ".npz":
        np.savez(path, mask)
    else:
        image = Image.fromarray(mask)
        (image if mode is None else image.convert(mode)).save(path)
    return path


def make_masks(
    root,
    where="{split}/images/{n}.jpg",
    mask="{split}/masks/{n}.png",
    splits=("train", "test"),
    each=4,
    **form,
):
    """A folder of images and masks, by two patterns; ``form`` is what ``labels`` takes."""
    number = 0
    for split in splits:
        for n in range(each):
            save(root / where.format(split=split, n=n), number)
            save_mask(root / mask.format(split=split, n=n), labels(number, **form))
            number += 1
    return root


def binary(number):
    return labels(number, classes=2) * np.uint8(255)


def build(root, parts):
    """Write images and masks: for each part the pattern of both (None: no masks), and the numbers."""
    for where, mask, numbers in parts:
        for n in numbers:
            save(root / where.format(n=n), n)
            if mask:
                save_mask(root / mask.format(n=n), binary(n))


def assert_paired(data, number_of):
    """Each mask is that of its image, told from the number in the image's name."""
    for split in data.splits.values():
        for item, file in enumerate(split.files):
            np.testing.assert_array_equal(
                split.masks(item), labels(number_of(file), classes=2), err_msg=str(file)
            )


def number(file):
    return int("".join(letter for letter in file.stem.removesuffix("_0000") if letter.isdecimal())[-3:])
