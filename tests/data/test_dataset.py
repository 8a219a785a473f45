import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Subset

from foveate.data.datasets.dataset_items import to_rgb
from foveate.data.open import open_data, reopen
from foveate.errors import DataError
from tests.data.image_samples import pixels


class Pictures:
    def __init__(self, count=20, form=lambda array: array, first=0):
        self.count, self.form, self.first = count, form, first

    def __len__(self):
        return self.count

    def __getitem__(self, item):
        if item >= self.count:
            raise IndexError(item)
        return self.form(pixels(self.first + item)), item % 2


FORMS = {
    "array": lambda array: array,
    "image": Image.fromarray,
    "bytes tensor": lambda array: torch.from_numpy(array.copy()).permute(2, 0, 1),
    "float tensor": lambda array: torch.from_numpy(array / 255).permute(2, 0, 1),
    "float array": lambda array: (array / 255).astype(np.float32),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_an_image_gives_the_same_data(form):
    plain, other = open_data(Pictures()), open_data(Pictures(form=FORMS[form]))
    assert plain.fingerprint == other.fingerprint
    assert {name: len(split) for name, split in plain.splits.items()} == {"train": 14, "val": 2, "test": 4}
    split = other.splits["test"]
    item = int(split.names[1])
    np.testing.assert_array_equal(split.load(1), pixels(item))
    assert split.targets[1] == item % 2


def test_a_mapping_keeps_its_splits():
    data = open_data({"train": Pictures(10), "valid": Pictures(4, first=20), "test": Pictures(6, first=30)})
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 10, "val": 4, "test": 6}
    np.testing.assert_array_equal(data.splits["test"].load(2), pixels(32))


def test_class_names_come_from_the_dataset_or_the_caller():
    named = Pictures()
    named.classes = ["even", "odd"]
    assert open_data(named).classes == ("even", "odd")
    assert open_data(Subset(Pictures(), range(10))).classes == ("0", "1")
    assert open_data(Pictures(), classes=["e", "o"]).classes == ("e", "o")


def test_grey_is_accepted_and_made_rgb():
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    for image in (grey, grey[:, :, None], torch.from_numpy(grey)[None]):
        np.testing.assert_array_equal(to_rgb("x", image), np.repeat(grey[:, :, None], 3, axis=2))


@pytest.mark.parametrize(
    "image, said",
    [
        (np.zeros((4, 4, 2), np.uint8), r"shape \(4, 4, 2\)"),
        (np.full((4, 4, 3), -1.0), "leave normalising"),
        (np.full((4, 4, 3), 300, np.int64), "leave normalising"),
        ("a.png", "came as str"),
    ],
)
def test_images_of_no_known_form_are_told(image, said):
    with pytest.raises(DataError, match=said):
        to_rgb("x", image)


def test_a_dataset_that_changes_its_images_is_told():
    generator = np.random.default_rng(0)
    with pytest.raises(DataError, match="Remove random transforms"):
        open_data(Pictures(form=lambda array: generator.integers(0, 255, array.shape, dtype=np.uint8)))


@pytest.mark.parametrize(
    "source, said",
    [
        (3, "int is not a dataset"),
        ({"train": Pictures(), "holdout": Pictures()}, "Use the keys"),
        ([1, 2], "not as"),
        ([(pixels(0), "cat")], "not a class number"),
    ],
)
def test_what_is_not_a_dataset_is_refused(source, said):
    with pytest.raises(DataError, match=said):
        open_data(source)


def test_a_label_out_of_range_is_named():
    with pytest.raises(DataError, match=r"label 1 of \d+ is not in 0..0"):
        open_data(Pictures(), classes=["only"])


def test_it_cannot_be_reopened_from_words():
    with pytest.raises(DataError, match="Pass the dataset itself"):
        reopen(open_data(Pictures()).origin)
