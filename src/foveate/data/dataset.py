"""A Python dataset: anything with a length whose items are (image, label).

An image is a PIL image, an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), or a tensor (C, H, W); uint8, or
float in [0, 1]. One pass at opening reads the labels and hashes the pixels.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from foveate.data.base import SPLITS, ImageData, Split
from foveate.data.contents import hash_splits
from foveate.data.decode import upright_rgb
from foveate.data.splits import SHARES, WORDS, Shares, cut
from foveate.errors import DataError

_CHANNELS = (1, 3, 4)


@runtime_checkable
class Dataset(Protocol):
    """What is needed of a dataset: a length, and items (image, label)."""

    def __len__(self) -> int: ...

    def __getitem__(self, item: int, /) -> tuple[object, object]: ...


def open_dataset(
    source: object,
    *,
    seed: int = 0,
    shares: Shares = SHARES,
    classes: Sequence[str] | None = None,
    name: str = "dataset",
) -> ImageData:
    """Open a dataset, or one per split.

    Args:
        source: A dataset, to be cut; or a mapping from train, val, test to datasets.
        seed: Decides the cut of a single dataset.
        shares: Of train, val and test, likewise.
        classes: Class names; the dataset's own ``classes`` or the numbers if None.
        name: What to call it in a report.

    Raises:
        DataError: it has no length, an item is no (image, label), or it gives a different image each time.
    """
    given = _by_split(source)
    read = {split: _read(f"{name}, split {split}", dataset) for split, dataset in given.items()}
    names = (
        tuple(classes) if classes is not None else _classes(given, [targets for targets, _ in read.values()])
    )
    if set(given) == {""}:
        targets, contents = read[""]
        chosen = cut(targets, seed=seed, shares=shares)
        splits = {part: _split(given[""], targets, items) for part, items in chosen.items()}
        hashes = {part: [contents[item] for item in items] for part, items in chosen.items()}
    else:
        splits = {part: _split(given[part], read[part][0], np.arange(len(read[part][0]))) for part in given}
        hashes = {part: read[part][1] for part in given}
    return ImageData(
        name=name,
        classes=names,
        splits=splits,
        origin={"source": None, "description": f"{type(source).__module__}.{type(source).__qualname__}"},
        fingerprint=hash_splits(names, splits, hashes),
    )


def to_rgb(where: str, image: object) -> UInt8[np.ndarray, "h w 3"]:
    """Return an image of any accepted kind as uint8 RGB.

    Raises:
        DataError: it is none of them, or its values are out of range.
    """
    if isinstance(image, Image.Image):
        return np.asarray(upright_rgb(image))
    if hasattr(image, "detach"):  # a tensor, without importing torch to ask
        image = _channels_last(image.detach().cpu().numpy())
    if not isinstance(image, np.ndarray):
        raise DataError(
            f"{where}: an image came as {type(image).__name__}. Give a PIL image, an array or a tensor."
        )
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in _CHANNELS:
        raise DataError(
            f"{where}: an image came with shape {image.shape}. Arrays are (H, W, 3), tensors (3, H, W)."
        )
    pixels = _to_bytes(where, image)
    return np.asarray(upright_rgb(Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)))


def _channels_last(array: np.ndarray) -> np.ndarray:
    return np.moveaxis(array, 0, -1) if array.ndim == 3 else array


def _to_bytes(where: str, image: np.ndarray) -> UInt8[np.ndarray, "h w c"]:
    if image.dtype == np.uint8:
        return np.ascontiguousarray(image)
    low, high = float(image.min(initial=0)), float(image.max(initial=0))
    if image.dtype.kind == "f" and low >= 0 and high <= 1:
        return np.ascontiguousarray((image * 255).round().astype(np.uint8))
    raise DataError(
        f"{where}: an image of {image.dtype} came with values in [{low:.3g}, {high:.3g}]. Give uint8, or "
        "float in [0, 1]; leave normalising to foveate."
    )


def _by_split(source: object) -> dict[str, Dataset]:
    """Return datasets by split; one dataset alone is filed under the empty name."""
    if not isinstance(source, Mapping):
        return {"": _sized("dataset", source)}
    given: dict[str, Dataset] = {}
    for key, dataset in source.items():
        split = WORDS.get(str(key).lower())
        if split is None or split in given:
            raise DataError(
                f"splits came as {', '.join(map(str, source))}. Use the keys train, val (optional), test."
            )
        given[split] = _sized(f"split {key}", dataset)
    return {split: given[split] for split in SPLITS if split in given}


def _sized(where: str, dataset: object) -> Dataset:
    if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")) or isinstance(
        dataset, (str, bytes)
    ):
        raise DataError(
            f"{where}: a {type(dataset).__name__} is no dataset. Give an object with len() and items "
            "(image, label), such as a torchvision dataset, or a path."
        )
    return dataset


def _read(where: str, dataset: Dataset) -> tuple[np.ndarray, list[str]]:
    """Return the label and the hash of every item."""
    targets, hashes = [], []
    for item in range(len(dataset)):
        image, label = _pair(f"{where}, item {item}", dataset, item)
        targets.append(label)
        hashes.append(_hash(image))
    if hashes and _hash(_pair(f"{where}, item 0", dataset, 0)[0]) != hashes[0]:
        raise DataError(
            f"{where}: item 0 gave two different images. Remove random transforms from the dataset; foveate "
            "augments in training."
        )
    return np.array(targets, dtype=np.int64), hashes


def _pair(where: str, dataset: Dataset, item: int) -> tuple[UInt8[np.ndarray, "h w 3"], int]:
    got = dataset[item]
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        raise DataError(f"{where}: came as {type(got).__name__}, not as (image, label). Wrap the dataset.")
    image, label = got
    try:
        number = int(label)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        raise DataError(f"{where}: label {label!r} is no class number. Number the classes from 0.") from None
    return to_rgb(where, image), number


def _hash(image: np.ndarray) -> str:
    return hashlib.blake2b(f"{image.shape}".encode() + image.tobytes(), digest_size=16).hexdigest()


def _classes(given: Mapping[str, Dataset], targets: Sequence[np.ndarray]) -> tuple[str, ...]:
    for dataset in given.values():
        own = getattr(dataset, "classes", None)
        if own is not None:
            return tuple(str(label) for label in own)
    return tuple(
        str(number)
        for number in range(max((int(part.max()) for part in targets if len(part)), default=0) + 1)
    )


def _split(dataset: Dataset, targets: np.ndarray, items: np.ndarray) -> Split:
    lock = threading.Lock()  # nobody promised that the user's dataset bears several threads

    def load(number: int) -> UInt8[np.ndarray, "h w 3"]:
        with lock:
            return _pair(f"item {int(items[number])}", dataset, int(items[number]))[0]

    return Split(names=tuple(str(item) for item in items.tolist()), targets=targets[items], load=load)
