"""What the class numbers of well-known data sets mean, recognised by their original file names.

Sources  Cityscapes: ``cityscapesscripts/helpers/labels.py``; Pascal VOC: the development kit's ``VOCinit``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from foveate.data.class_numbers import IGNORE
from foveate.data.palette import voc_palette

# Name, number in labelIds, colour; the position is the number in labelTrainIds. Other numbers do not count.
_CITYSCAPES = (
    ("road", 7, (128, 64, 128)),
    ("sidewalk", 8, (244, 35, 232)),
    ("building", 11, (70, 70, 70)),
    ("wall", 12, (102, 102, 156)),
    ("fence", 13, (190, 153, 153)),
    ("pole", 17, (153, 153, 153)),
    ("traffic light", 19, (250, 170, 30)),
    ("traffic sign", 20, (220, 220, 0)),
    ("vegetation", 21, (107, 142, 35)),
    ("terrain", 22, (152, 251, 152)),
    ("sky", 23, (70, 130, 180)),
    ("person", 24, (220, 20, 60)),
    ("rider", 25, (255, 0, 0)),
    ("car", 26, (0, 0, 142)),
    ("truck", 27, (0, 0, 70)),
    ("bus", 28, (0, 60, 100)),
    ("train", 31, (0, 80, 100)),
    ("motorcycle", 32, (0, 0, 230)),
    ("bicycle", 33, (119, 11, 32)),
)
_LABEL_IDS = 34  # 0 to 33; a licence plate, -1, is stored as 255
_VOC = (
    "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike "
    "person pottedplant sheep sofa train tvmonitor"
).split()


@dataclass(frozen=True)
class KnownSet:
    """What the masks of a well-known set mean.

    Args:
        classes: Class names.
        numbers: Pixel value to class, or ``IGNORE``.
        palette: A colour for each class.
        note: How it was recognised.
    """

    classes: tuple[str, ...]
    numbers: Mapping[int, int]
    palette: UInt8[np.ndarray, "k 3"]
    note: str


def known_set(mask: Path) -> KnownSet | None:
    """Return the well-known set that a mask belongs to, by its name and place; None for any other.

    Args:
        mask: One of its files.
    """
    found = re.search(r"_gt(?:Fine|Coarse)_(labelIds|labelTrainIds)$", mask.stem)
    if found:
        return _cityscapes(train_ids=found[1] == "labelTrainIds")
    if mask.parent.name == "SegmentationClass" and re.fullmatch(r"VOC20\d\d", mask.parent.parent.name):
        numbers = {number: number for number in range(len(_VOC))} | {IGNORE: IGNORE}
        note = "the classes are Pascal VOC's, by the names of the folders"
        return KnownSet(tuple(_VOC), numbers, voc_palette()[: len(_VOC)], note)
    return None


def _cityscapes(*, train_ids: bool) -> KnownSet:
    names, ids, colours = zip(*_CITYSCAPES, strict=True)
    numbers = dict.fromkeys((*range(_LABEL_IDS), IGNORE), IGNORE)
    numbers |= {(place if train_ids else ids[place]): place for place in range(len(names))}
    note = (
        "the classes are the 19 of Cityscapes that count, by the names of the files; the other numbers are "
        f"ignored. classes={_LABEL_IDS} (--classes {_LABEL_IDS} on the command line) keeps all"
    )
    return KnownSet(names, numbers, np.array(colours, dtype=np.uint8), note)
