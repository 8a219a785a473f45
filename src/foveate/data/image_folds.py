"""Image data whose items change places between training and test, and its folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from jaxtyping import Int64

from foveate.data.base import ImageData, Pooled, Split
from foveate.data.folds import Folds, Rows, cut_folds, fingerprint_of
from foveate.data.label_sets import strata

_T = TypeVar("_T")


def fold_images(data: ImageData, count: int) -> Folds:
    """Return images in folds: stratified by class, or by the rarest of their labels; groups stay together.

    Args:
        data: What is cut; a split ``val`` stays what it is.
        count: Number of folds.

    Raises:
        DataError: There are fewer images or groups than folds.
    """
    train, test = data.splits["train"], data.splits["test"]
    return cut_folds(
        data,
        count,
        lambda rows: regrouped(data, rows),
        strata=strata(np.concatenate([train.targets, test.targets])),
        groups=groups_of(data),
    )


def regrouped(data: ImageData, rows: Rows) -> ImageData:
    """Return the data with other images in its splits ``train`` and ``test``."""
    pool = _pool(data)
    return replace(
        data,
        splits={**data.splits, **{name: _picked(pool, some) for name, some in rows.items()}},
        fingerprint=fingerprint_of(data, rows),
        pooled=Pooled(data, rows),
    )


def groups_of(data: ImageData) -> tuple[str, ...] | None:
    """Return the group of each training and test image; None if the data knows none."""
    both = [(name, data.splits[name]) for name in ("train", "test")]
    if all(split.groups is None for _, split in both):
        return None
    return tuple(
        group for name, split in both for group in split.groups or [f"{name}/{item}" for item in split.names]
    )


def _pool(data: ImageData) -> Split:
    """Return the training images and then the test images as one split."""
    train, test = data.splits["train"], data.splits["test"]
    first, names = len(train), (*train.names, *test.names)
    if len(set(names)) < len(names):
        names = (*(f"train/{name}" for name in train.names), *(f"test/{name}" for name in test.names))

    def either(
        one: Callable[[int], _T] | None, other: Callable[[int], _T] | None
    ) -> Callable[[int], _T] | None:
        if one is None or other is None:
            return None
        return lambda item: one(item) if item < first else other(item - first)

    return replace(
        train,
        names=names,
        targets=np.concatenate([train.targets, test.targets]),
        load=lambda item: train.load(item) if item < first else test.load(item - first),
        groups=groups_of(data),
        look=either(train.look, test.look),
        files=_joined(train.files, test.files),
        many=None,
        masks=either(train.masks, test.masks),
        mask_files=_joined(train.mask_files, test.mask_files),
        pictures=either(train.pictures, test.pictures),
        boxes=either(train.boxes, test.boxes),
    )


def _picked(pool: Split, rows: Int64[np.ndarray, " m"]) -> Split:
    """Return some images of a split, in this order."""
    numbers = rows.tolist()

    def some(column: Sequence[_T] | None) -> tuple[_T, ...] | None:
        return None if column is None else tuple(column[row] for row in numbers)

    def moved(of_item: Callable[[int], _T] | None) -> Callable[[int], _T] | None:
        return None if of_item is None else lambda item: of_item(numbers[item])

    return replace(
        pool,
        names=tuple(pool.names[row] for row in numbers),
        targets=pool.targets[rows],
        load=lambda item: pool.load(numbers[item]),
        groups=some(pool.groups),
        look=moved(pool.look),
        files=some(pool.files),
        masks=moved(pool.masks),
        mask_files=some(pool.mask_files),
        pictures=moved(pool.pictures),
        boxes=moved(pool.boxes),
    )


def _joined(one: tuple[_T, ...] | None, other: tuple[_T, ...] | None) -> tuple[_T, ...] | None:
    return None if one is None or other is None else (*one, *other)
