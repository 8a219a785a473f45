"""A Python dataset: anything with a length whose items are (image, label), (image, labels) or (image, mask).

``dataset_items`` lists the accepted images and masks. One pass at opening reads the labels, or the values in
the masks, and hashes the pixels.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int64, UInt8

from foveate.data.base import SPLITS, ImageData, Split
from foveate.data.datasets.dataset_items import Dataset, Truth, read_item
from foveate.data.fingerprint import hash_splits
from foveate.data.folders.name_words import split_named
from foveate.data.label_sets import strata
from foveate.data.masks.code import MaskCode
from foveate.data.masks.infer_code import Ignored, MaskOptions, infer_from_values
from foveate.data.splits import SHARES, Shares, cut
from foveate.errors import DataError, OptionError


@dataclass(frozen=True)
class _Read:
    """What one pass over a dataset finds: labels (all 0 with masks), hashes, and the values in the masks."""

    targets: Int64[np.ndarray, "n ..."]
    contents: Sequence[str]
    values: frozenset[int] | None


def open_dataset(
    source: object,
    *,
    seed: int = 0,
    shares: Shares = SHARES,
    classes: Sequence[str] | None = None,
    name: str = "dataset",
    ignore_index: Ignored | None = None,
    background: str | None = None,
    threshold: int | None = None,
) -> ImageData:
    """Open a dataset, or one per split.

    Args:
        source: A dataset, to be cut; or a mapping from train, val, test to datasets.
        seed: Decides the cut of a single dataset.
        shares: Of train, val and test, likewise.
        classes: Class names; the dataset's own ``classes`` or the numbers if None.
        name: What to call it in a report.
        ignore_index: With masks, values that do not count; 255 never does.
        background: With masks of two classes, the name of the first.
        threshold: With masks, the grey level at and above which a pixel is foreground.

    Raises:
        DataError: it has no length, an item is not (image, label), (image, labels) or (image, mask), a label
            is a fraction or NaN, or it gives a different image each time.
        OptionError: options for masks, but there are labels.
    """
    given = _by_split(source)
    read = {split: _read(f"{name}, split {split}", dataset) for split, dataset in given.items()}
    options = MaskOptions(classes, ignore_index, background=background, threshold=threshold)
    read, said = _classes_of_one_hot(name, read)
    code, notes = _meaning(name, given, read, options)
    notes = [*said, *notes]
    if code is not None:
        names = code.classes
    else:
        names = tuple(classes) if classes is not None else _classes(given, [p.targets for p in read.values()])
    if set(given) == {""}:
        part = read[""]
        chosen = cut(strata(part.targets), seed=seed, shares=shares)
        splits = {split: _split(given[""], part.targets, items, code) for split, items in chosen.items()}
        hashes = {split: [part.contents[item] for item in items] for split, items in chosen.items()}
    else:
        splits = {
            split: _split(given[split], part.targets, np.arange(len(part.targets)), code)
            for split, part in read.items()
        }
        hashes = {split: list(part.contents) for split, part in read.items()}
    if code is not None:
        hashes = {split: [f"{content} {code}" for content in contents] for split, contents in hashes.items()}
    description = f"{type(source).__module__}.{type(source).__qualname__}"
    return ImageData(
        name=name,
        classes=names,
        splits=splits,
        origin={"source": None, "description": description, **({"notes": list(notes)} if notes else {})},
        fingerprint=hash_splits(names, splits, hashes),
    )


def _by_split(source: object) -> dict[str, Dataset]:
    """Return datasets by split; a single dataset under the empty name."""
    if not isinstance(source, Mapping):
        return {"": _sized("dataset", source)}
    given: dict[str, Dataset] = {}
    for key, dataset in source.items():
        split = split_named(str(key))
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
            f"{where}: a {type(dataset).__name__} is not a dataset. Give an object with len() and items "
            "(image, label), such as a torchvision dataset, or a path."
        )
    return dataset


def _read(where: str, dataset: Dataset) -> _Read:
    """Return the label, or the values in the mask, and the hash of every item."""
    targets: list[int | tuple[int, ...]] = []
    hashes = []
    values: set[int] = set()
    masks = 0
    for item in range(len(dataset)):
        image, truth = read_item(f"{where}, item {item}", dataset, item)
        hashes.append(_hash(image, truth))
        if isinstance(truth, (int, tuple)):
            targets.append(truth)
        else:
            masks += 1
            targets.append(0)
            values.update(np.unique(truth).tolist())
    if masks not in (0, len(targets)):
        raise DataError(
            f"{where}: {masks} of {len(targets)} items have masks, the others labels. Give one kind."
        )
    if hashes and _hash(*read_item(f"{where}, item 0", dataset, 0)) != hashes[0]:
        raise DataError(
            f"{where}: item 0 gave two different images. Remove random transforms from the dataset; foveate "
            "augments in training."
        )
    return _Read(_column(where, targets), hashes, frozenset(values) if masks else None)


def _column(where: str, targets: Sequence[int | tuple[int, ...]]) -> Int64[np.ndarray, "n ..."]:
    """Return the labels of all items, or their vectors, which must be equally long."""
    lengths = {len(target) if isinstance(target, tuple) else 0 for target in targets}
    if len(lengths) > 1:
        kinds = ", ".join(f"{length} labels" if length else "one class number" for length in sorted(lengths))
        raise DataError(f"{where}: items came with {kinds}. Give all of them the same.")
    return np.array(targets, dtype=np.int64)


def _classes_of_one_hot(name: str, read: dict[str, _Read]) -> tuple[dict[str, _Read], list[str]]:
    """Return class numbers if every item's vector has exactly one 1."""
    dimensions = {part.targets.shape[1:] for part in read.values() if len(part.targets)}
    if len(dimensions) > 1:
        raise DataError(
            f"{name}: the splits differ in how many labels an item has. Give all of them the same."
        )
    if dimensions in (set(), {()}) or any((part.targets.sum(axis=1) != 1).any() for part in read.values()):
        return read, []
    numbers = {split: replace(part, targets=part.targets.argmax(axis=1)) for split, part in read.items()}
    return numbers, ["every label vector holds a single 1: the labels are read as class numbers"]


def _meaning(
    name: str, given: Mapping[str, Dataset], read: Mapping[str, _Read], options: MaskOptions
) -> tuple[MaskCode | None, Sequence[str]]:
    """Return the masks' code and notes; None if there are labels."""
    values = [part.values for part in read.values() if part.values is not None]
    if not values:
        if options != MaskOptions(options.classes):
            raise OptionError(f"{name}: ignore_index, background and threshold are for masks; it has labels.")
        return None, ()
    if len(values) < len(read):
        raise DataError(f"{name}: some splits have masks, others labels. Give one kind.")
    if options.classes is None:
        options = replace(options, classes=_own_classes(given))
    found = infer_from_values(frozenset().union(*values), options)
    return found.code, found.notes


def _hash(image: np.ndarray, truth: Truth) -> str:
    content = f"{image.shape}".encode() + image.tobytes()
    if isinstance(truth, np.ndarray):
        content += truth.tobytes()
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _own_classes(given: Mapping[str, Dataset]) -> tuple[str, ...] | None:
    owned = (getattr(dataset, "classes", None) for dataset in given.values())
    return next((tuple(str(label) for label in own) for own in owned if own is not None), None)


def _classes(given: Mapping[str, Dataset], targets: Sequence[np.ndarray]) -> tuple[str, ...]:
    own = _own_classes(given)
    if own is not None:
        return own
    if targets[0].ndim == 2:
        return tuple(str(number) for number in range(targets[0].shape[1]))
    most = max((int(part.max()) for part in targets if len(part)), default=0)
    return tuple(str(number) for number in range(most + 1))


def _split(dataset: Dataset, targets: np.ndarray, items: np.ndarray, code: MaskCode | None) -> Split:
    lock = threading.Lock()  # the user's dataset may not be thread-safe

    def pair(number: int) -> tuple[UInt8[np.ndarray, "h w 3"], Truth]:
        with lock:
            return read_item(f"item {int(items[number])}", dataset, int(items[number]))

    def mask(number: int) -> UInt8[np.ndarray, "h w"]:
        truth = pair(number)[1]
        assert code is not None and isinstance(truth, np.ndarray)
        return code.classes_of(truth, f"item {int(items[number])}")

    return Split(
        names=tuple(str(item) for item in items.tolist()),
        targets=targets[items],
        load=lambda number: pair(number)[0],
        masks=None if code is None else mask,
    )
