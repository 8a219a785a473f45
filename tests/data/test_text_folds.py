"""Folds of pictures with captions and of sentences in two languages, which their data cuts by itself."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

import numpy as np
import pytest

from foveate.data.base import Split
from foveate.data.cache import cache
from foveate.data.captions.caption_data import CaptionData, CaptionSplit
from foveate.data.pairs.lines import Lines
from foveate.data.pairs.pair_data import LineNames, PairData, PairSplit
from foveate.errors import DataError
from foveate.tasks.base import Task


def captioned(first: int, count: int, groups: bool = False) -> CaptionSplit:
    """Pictures of one colour, each with a caption that names it."""
    pictures = Split(
        tuple(f"{first + n}.jpg" for n in range(count)),
        np.zeros(count, dtype=np.int64),
        load=lambda item: np.full((4, 4, 3), first + item, dtype=np.uint8),
        groups=tuple(f"scene {n // 2}" for n in range(count)) if groups else None,
    )
    return CaptionSplit(pictures, tuple((f"number {first + n}", "a colour") for n in range(count)))


def test_captions_stay_with_their_pictures(tmp_path):
    splits = {"train": captioned(0, 9), "val": captioned(200, 3), "test": captioned(100, 6)}
    data = CaptionData("toy", splits, {"source": None}, "0")
    folds = Task.folds(data, 5)
    assert len(folds.whole.splits["train"]) == len(folds.whole.splits["test"]) == 15
    tested = [part.splits["test"].names for part in folds.parts]
    assert sorted(chain(*tested)) == sorted(folds.whole.splits["test"].names)
    for part in (folds.whole, *folds.parts):
        stored = cache(part.pictures, size=4, folder=tmp_path)
        for name in ("train", "test"):
            split = part.splits[name]
            for item, (called, captions) in enumerate(zip(split.names, split.captions, strict=True)):
                number = int(called.removesuffix(".jpg"))
                assert captions[0] == f"number {number}"
                assert split.pictures.load(item)[0, 0, 0] == stored[name].images[item, 0, 0, 0] == number
        assert part.splits["val"] is splits["val"]
    assert len(list(tmp_path.iterdir())) == 3  # what was decoded once is enough for all folds
    assert len({part.fingerprint for part in (data, folds.whole, *folds.parts)}) == 7


def test_groups_of_captioned_pictures_are_kept():
    data = CaptionData("toy", {"train": captioned(0, 8, True), "test": captioned(9, 6, True)}, {}, "0")
    for part in data.folds(4).parts:  # four scenes, each in both splits
        assert len({*part.splits["test"].pictures.groups}) == 1
    with pytest.raises(DataError, match="4 groups, of 14 items"):
        data.folds(5)


def translated(split: str, count: int) -> PairSplit:
    words = [f"{split} {n}" for n in range(count)]
    lines = np.arange(1, count + 1)
    return PairSplit(LineNames(split, lines), Lines.of(words), Lines.of([w.upper() for w in words]))


def test_sentences_stay_with_their_translations():
    splits = {"train": translated("train", 7), "test": translated("test", 4), "val": translated("val", 2)}
    data = PairData("toy", "en", "de", splits, {"source": None}, longest=9)
    folds = Task.folds(data, 3)
    every = [*splits["train"].source, *splits["test"].source]
    assert list(folds.whole.splits["test"].source) == every and folds.whole.longest == 9
    assert sorted(chain(*(part.splits["test"].source for part in folds.parts))) == sorted(every)
    for part in folds.parts:
        for name in ("train", "test"):
            split = part.splits[name]
            assert [text.upper() for text in split.source] == list(split.target)
            numbers = [f"{called.split(':')[0]} {int(called.split(':')[1]) - 1}" for called in split.names]
            assert numbers == list(split.source)
        assert not {*part.splits["train"].source} & {*part.splits["test"].source}
    assert len({part.fingerprint for part in (data, folds.whole, *folds.parts)}) == 5
    assert replace(data).fingerprint == data.fingerprint


def test_joined_lines_are_one_behind_the_other():
    one, other = Lines.of(["a", "bc"]), Lines.split(b"\xef\xbb\xbfd\r\nef\n")
    assert list(one.joined(other)) == ["a", "bc", "d", "ef"] and list(one) == ["a", "bc"]
    assert list(other.joined(one)) == ["d", "ef", "a", "bc"]
