"""Folds: every item in one, strata spread, groups kept, the same ones whenever they are cut."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foveate.data.base import ImageData, Split
from foveate.data.cache import cache
from foveate.data.folds import deal, fold_sequences
from foveate.data.image_folds import fold_images
from foveate.data.open import open_data
from foveate.errors import DataError
from foveate.tasks import tasks

COUNTS = st.integers(2, 6)
CLASSES = st.lists(st.integers(0, 3), min_size=6, max_size=60).map(np.array)


@settings(max_examples=60)
@given(strata=CLASSES, count=COUNTS)
def test_without_groups_folds_differ_by_one_item_at_most_in_all_and_in_each_class(strata, count: int):
    place = deal(count, strata)
    for chosen in (np.ones(len(strata), bool), *(strata == kind for kind in np.unique(strata))):
        sizes = np.bincount(place[chosen], minlength=count)
        assert len(sizes) == count and sizes.max() - sizes.min() <= 1


@settings(max_examples=60)
@given(strata=CLASSES, count=COUNTS, data=st.data())
def test_a_group_lies_in_one_fold_and_no_fold_is_empty(strata, count: int, data):
    some = st.integers(0, 8).map("patient {}".format)
    groups = data.draw(st.lists(some, min_size=len(strata), max_size=len(strata)))
    groups[:count] = [f"patient {n}" for n in range(count)]  # as many groups as folds at least
    place = deal(count, strata, groups)
    assert set(place.tolist()) == set(range(count))
    assert len({*zip(groups, place.tolist(), strict=True)}) == len(set(groups))


def test_groups_of_one_class_are_spread_like_items():
    strata = np.repeat([0, 1, 2], 24)
    groups = [f"{item // 4}" for item in range(72)]  # six groups of four items a class
    place = deal(3, strata, groups)
    for kind in range(3):
        assert np.bincount(place[strata == kind]).tolist() == [8, 8, 8]


def test_folds_do_not_depend_on_a_library_that_draws():
    """Otherwise a study that is continued after an update would test a training on what it has seen."""
    order = sorted(range(8), key=lambda item: sha256(str(item).encode()).digest())
    place = deal(3, np.zeros(8, np.int64))
    assert place[order].tolist() == [0, 1, 2, 0, 1, 2, 0, 1]


def data_of(train: int, test: int, val: int = 0, **columns) -> ImageData:
    """Images of one colour, which tells which one it is."""

    def split(first: int, count: int) -> Split:
        def load(item: int) -> np.ndarray:
            return np.full((8, 8, 3), first + item, np.uint8)

        more = {name: column(first, count) for name, column in columns.items()}
        usual = {"names": tuple(map(str, range(count))), "targets": np.arange(first, first + count) % 3}
        return Split(**{**usual, "load": load, **more})

    splits = {"train": split(0, train), "test": split(100, test)}
    splits |= {"val": split(200, val)} if val else {}
    return ImageData("colours", ("a", "b", "c"), splits, {"source": None}, f"{train} {test} {val}")


def shown(split: Split) -> list[int]:
    return [int(split.load(item)[0, 0, 0]) for item in range(len(split))]


def test_each_image_is_tested_once_and_trained_on_in_all_other_folds():
    data = data_of(20, 9, 4)
    folds = fold_images(data, 4)
    everything = [*range(20), *range(100, 109)]
    assert shown(folds.whole.splits["test"]) == shown(folds.whole.splits["train"]) == everything
    tested = [shown(part.splits["test"]) for part in folds.parts]
    assert sorted(chain(*tested)) == everything
    for part, own, items in zip(folds.parts, tested, folds.items, strict=True):
        assert shown(part.splits["train"]) == [image for image in everything if image not in own]
        assert own == [everything[item] for item in items]
        assert shown(part.splits["val"]) == [*range(200, 204)]
        assert part.splits["test"].targets.tolist() == [image % 3 for image in own]
    assert len({data.fingerprint, *(part.fingerprint for part in (folds.whole, *folds.parts))}) == 6
    again = fold_images(data_of(20, 9, 4), 4)
    assert [items.tolist() for items in again.items] == [items.tolist() for items in folds.items]
    names = folds.whole.splits["test"].names
    assert len(set(names)) == 29 and names[0] == "train/0" and names[-1] == "test/8"


def test_what_belongs_to_an_image_goes_with_it():
    def files(first: int, count: int) -> tuple[Path, ...]:
        return tuple(Path(f"{first + item}.png") for item in range(count))

    def masks(first: int, count: int):
        return lambda item: np.full((8, 8), (first + item) % 3, np.uint8)

    def look(first: int, count: int):
        return lambda item: np.full((8, 8), (first + item) % 2 == 0)

    columns = {"files": files, "masks": masks, "look": look, "mask_files": files}
    columns["targets"] = lambda first, count: np.zeros(count, np.int64)
    for part in fold_images(data_of(7, 5, **columns), 3).parts:
        for split in (part.splits["train"], part.splits["test"]):
            for item, image in enumerate(shown(split)):
                assert split.files[item] == split.mask_files[item] == Path(f"{image}.png")
                assert split.masks(item)[0, 0] == image % 3 and split.look(item)[0, 0] == (image % 2 == 0)


def test_groups_of_either_split_are_kept_and_said():
    def groups(first: int, count: int) -> tuple[str, ...]:
        return tuple(f"patient {item % 5}" for item in range(count))  # the same patients in both

    folds = fold_images(data_of(20, 10, groups=groups), 5)
    for part in folds.parts:
        assert len({*part.splits["test"].groups}) == 1
        assert not {*part.splits["test"].groups} & {*part.splits["train"].groups}
    assert folds.drawn == "stratified by class, groups kept together"
    with pytest.raises(
        DataError, match=r"got 6, but colours has 5 groups, of 30 items, to deal out\. Ask for 2 to 5"
    ):
        fold_images(data_of(20, 10, groups=groups), 6)


def test_decoded_images_are_those_of_the_splits_and_nothing_is_decoded_again(tmp_path: Path):
    data = open_data("scenes(train=9, val=3, test=6, classes=3, size=24, masks=True)")
    stored = cache(data, size=24, folder=tmp_path)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    every = {
        what: np.concatenate([getattr(stored[name], what) for name in ("train", "test")])
        for what in ("images", "masks")
    }
    folds = fold_images(data, 3)
    for part, items in zip((folds.whole, *folds.parts), (np.arange(15), *folds.items), strict=True):
        found = cache(part, size=24, folder=tmp_path)
        assert (found["test"].images == every["images"][items]).all()
        assert (found["test"].masks == every["masks"][items]).all()
        assert (found["val"].images == stored["val"].images).all()
        assert found["train"].names == part.splits["train"].names
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == files


@dataclass(frozen=True)
class Words:
    """Data of a task of one's own."""

    splits: dict = field(default_factory=lambda: {"train": list("abcdef"), "test": "gh", "val": ["v"]})
    name: str = "words"
    fingerprint: str = "w"
    task: str = "spelling"

    @property
    def items(self) -> dict[str, int]:
        return {name: len(some) for name, some in self.splits.items()}


def test_data_whose_splits_are_sequences_needs_no_code_of_its_own():
    folds = fold_sequences(Words(), 4)
    assert "".join(folds.whole.splits["test"]) == "abcdefgh"
    assert sorted(chain(*(part.splits["test"] for part in folds.parts))) == list("abcdefgh")
    for part in folds.parts:
        assert sorted(part.splits["train"] + part.splits["test"]) == list("abcdefgh")
        assert part.splits["val"] == ["v"] and part.fingerprint != "w"
    assert folds.drawn == "at random"


class Drawn:
    """Data that is a number of items, each drawn when it is needed."""

    name, task, items = "words", "spelling", {"train": 3, "test": 2}


@pytest.mark.parametrize("data", [replace(Words(), splits={"train": iter("abc"), "test": "d"}), Drawn()])
def test_other_data_says_that_it_cannot_be_folded(data):
    with pytest.raises(DataError, match=r"words: this data cannot be cut into folds.*Leave folds out"):
        fold_sequences(data, 2)


def test_too_many_folds_are_refused_with_the_most_that_are_possible():
    with pytest.raises(DataError, match=r"folds: got 9, but words has 8 items to deal out\. Ask for 2 to 8"):
        fold_sequences(Words(), 9)
    assert len(fold_sequences(Words(), 8).parts) == 8


def test_several_labels_an_image_are_spread_by_the_rarest():
    def targets(first: int, count: int) -> np.ndarray:
        rare = np.arange(count) % 4 == 0
        return np.stack([np.ones(count), rare, np.zeros(count)], axis=1).astype(np.int64)

    folds = tasks["diagnosis"].folds(data_of(16, 8, targets=targets), 3)
    assert [int(part.splits["test"].targets[:, 1].sum()) for part in folds.parts] == [2, 2, 2]
