"""Names of splits are recognised however people write them, and names of classes are not taken for splits."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foveate.data.folders.name_words import meaning, sibling_splits, split_named

WORDS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
CASES = (str.lower, str.upper, str.title)
ADDED = (
    "{}",
    "{}_set",
    "{} set",
    "{}-data",
    "{}_images",
    "{} Images",
    "01_{}",
    "{}2017",
    "a. {} Set",
    "stage1_{}",
)
GLUED = ("{}set", "{}annot", "{}Dataset", "{}images")


@pytest.mark.parametrize("split", WORDS)
def test_a_split_is_known_in_any_case_with_numbers_and_words_that_say_nothing(split):
    for word, case, form in itertools.product(WORDS[split], CASES, ADDED):
        assert split_named(form.format(case(word))) == split, form.format(case(word))
    for word, form in itertools.product(WORDS[split], GLUED):
        assert split_named(form.format(word)) == split, form.format(word)


@pytest.mark.parametrize(
    "name",
    ["bullet_train", "test_tube", "trains", "steam train", "trainer", "contest", "valley", "retest", "devil"],
)
def test_a_name_with_other_words_is_not_a_split_by_itself(name):
    assert split_named(name) is None and sibling_splits([name, "bus", "car"]) == {}


@given(st.from_regex(r"[a-z]{3,9}", fullmatch=True).filter(lambda word: meaning(word).rest == (word,)))
def test_names_that_differ_in_the_split_alone_are_splits(word):
    names = [f"{word}_train", f"{word}_test"]
    assert sibling_splits(names) == {names[0]: "train", names[1]: "test"}
    assert sibling_splits(names[:1]) == {}


def test_train_and_val_together_are_train_only_if_neither_stands_alone():
    assert sibling_splits(["trainval", "test"]) == {"trainval": "train", "test": "test"}
    assert sibling_splits(["trainval", "train", "val"]) == {"train": "train", "val": "val"}


@pytest.mark.parametrize(
    "name, role",
    [
        *(("JPEGImages", "image"), ("leftImg8bit", "image"), ("imgs", "image"), ("X-Image", "image")),
        *(
            ("SegmentationClass", "mask"),
            ("gtFine", "mask"),
            ("1st_manual", "mask"),
            ("Ground Truth", "mask"),
        ),
        *(("train_masks", "mask"), ("trainannot", "mask"), ("image_masks", "mask"), ("labelsTr", "mask")),
        *(("SegmentationObject", "objects"), ("fov", "inside"), ("2nd_manual", "other"), ("cats", None)),
    ],
)
def test_what_a_folder_holds(name, role):
    assert meaning(name).role == role
