"""Handwritten digits, turned: real pictures with a class and a pose, built in.

scikit-learn's copy of the UCI digits, 1797 samples of 8x8 pixels. Each is enlarged and turned by angles that
are drawn for it; a positive angle turns it anticlockwise. No sample is in two splits, however it is turned.

Shapes  images uint8 (N, size, size, 3), white on black; angles in degrees.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float64, Int64, UInt8
from PIL import Image

from foveate.data.base import SPLITS, ImageData, Split
from foveate.data.posed.posed_data import PoseColumn, PosedImages
from foveate.data.splits import cut
from foveate.errors import OptionError
from foveate.options import between, whole

VERSION = 1  # raise it whenever a pixel changes
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
UPRIGHT = "standing upright"
LEANS = (
    "leaning far to the right",
    "leaning to the right",
    UPRIGHT,
    "leaning to the left",
    "leaning far to the left",
)
_MARGIN = 0.14  # of the side, on each edge, so that corners stay in the picture when turned
_LARGE = 4  # turned at this many times the size, then made smaller: edges stay smooth


def turned_digits(
    *,
    size: int = 16,
    angle: float = 45.0,
    copies: int = 8,
    digits: int = 1797,
    captions: bool = False,
    seed: int = 0,
) -> PosedImages:
    """Return turned digits as data.

    Args:
        size: Side of the pictures in pixels.
        angle: The greatest angle, in degrees; angles are drawn evenly from minus to plus this. 0: none is
            turned, and there is no pose.
        copies: How often each digit is there, turned differently.
        digits: How many of the 1797 are used.
        captions: Whether each has a caption, such as "a seven leaning far to the left": the digit, and
            which of five equal parts of the range its angle is in.
        seed: Decides the split and the angles.

    Raises:
        OptionError: A number is out of range.

    Example:
        >>> turned_digits(size=16, copies=2, digits=200)
        PosedImages(turned_digits: 10 classes; pose angle; train 280, val 40, test 80)
    """
    from sklearn.datasets import load_digits

    whole("size", size, 8, 256)
    between("angle", angle, 0.0, 180.0)
    whole("copies", copies)
    if not 100 <= digits <= 1797:
        raise OptionError(
            f"digits: got {digits}, expected 100 to 1797: there are no more, and few are too few"
        )
    loaded = load_digits()
    pictures, labels = loaded.images[:digits], loaded.target[:digits].astype(np.int64)
    draws = np.random.Generator(np.random.Philox(seed)).uniform(-angle, angle, (digits, copies))
    rows = cut(labels, seed=seed)
    options = {"size": size, "angle": angle, "copies": copies, "digits": digits}
    splits = {name: _split(pictures, labels, draws, rows[name], size) for name in SPLITS}
    digest = hashlib.sha256(f"turned digits {VERSION} {seed} {sorted(options.items())}".encode()).hexdigest()
    classes = tuple(str(label) for label in range(10))
    origin: Mapping[str, object] = {"source": "turned_digits()", "seed": seed, "options": options}
    images = ImageData("turned_digits", classes, splits, origin, digest)
    poses = {name: draws[rows[name]].reshape(-1, 1)[:, : int(angle > 0)] for name in SPLITS}
    columns = (PoseColumn("angle", True, -angle, angle),) if angle else ()
    texts = {}
    if captions:
        options["captions"] = True
        for name in SPLITS:
            places = np.clip(
                (draws[rows[name]] + angle) / max(2 * angle, 1e-9) * len(LEANS), 0, len(LEANS) - 1
            )
            texts[name] = tuple(
                f"a {NUMBERS[labels[row]]} {LEANS[place] if angle else UPRIGHT}"
                for row, parts in zip(rows[name], places.astype(int), strict=True)
                for place in parts
            )
    return PosedImages(images, classes, columns, poses, origin, texts)


def _split(
    pictures: np.ndarray,
    labels: Int64[np.ndarray, " n"],
    draws: Float64[np.ndarray, "n c"],
    rows: Int64[np.ndarray, " m"],
    size: int,
) -> Split:
    copies = draws.shape[1]

    def load(item: int) -> UInt8[np.ndarray, "s s 3"]:
        row = rows[item // copies]
        return _turned(pictures[row], float(draws[row, item % copies]), size)

    names = tuple(f"digit-{row:04d}-{copy}" for row in rows.tolist() for copy in range(copies))
    return Split(
        names=names,
        targets=np.repeat(labels[rows], copies),
        load=load,
        groups=tuple(name.rpartition("-")[0] for name in names),
        many=_many(load),
    )


def _many(load: Callable[[int], np.ndarray]) -> Callable[[int, int], UInt8[np.ndarray, "c s s 3"]]:
    return lambda first, count: np.stack([load(item) for item in range(first, first + count)])


def _turned(picture: np.ndarray, degrees: float, size: int) -> UInt8[np.ndarray, "s s 3"]:
    large = _LARGE * size
    inner = round(large * (1 - 2 * _MARGIN))
    ink = Image.fromarray(np.round(picture * (255 / 16)).astype(np.uint8))
    canvas = Image.new("L", (large, large))
    corner = (large - inner) // 2
    canvas.paste(ink.resize((inner, inner), Image.Resampling.BICUBIC), (corner, corner))
    turned = canvas.rotate(degrees, Image.Resampling.BICUBIC)
    small = np.asarray(turned.resize((size, size), Image.Resampling.BOX))
    return np.repeat(small[..., None], 3, axis=2)
