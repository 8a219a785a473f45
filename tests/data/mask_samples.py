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
