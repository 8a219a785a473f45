import json

import numpy as np
import pytest

from foveate.data.base import ImageData, Split
from foveate.data.open import open_data, reopen
from foveate.errors import DataError, OptionError
from tests.data.image_samples import make_folder, save


@pytest.mark.parametrize("source", [None, "scenes", "scenes()", " scenes(train=2000)"])
def test_scenes_are_the_default(source):
    assert open_data(source).fingerprint == open_data().fingerprint


def test_options_in_the_text_and_beside_it():
    data = open_data("scenes(size=48, train=20)", seed=4, test=10)
    assert data.splits["train"].load(0).shape == (48, 48, 3)
    assert (len(data.splits["train"]), len(data.splits["test"])) == (20, 10)
    assert data.origin["seed"] == 4


def test_origin_survives_json_and_opens_the_same():
    data = open_data("scenes(train=20, val=0, test=10, classes=3)", seed=9)
    again = reopen(json.loads(json.dumps(data.origin)))
    assert again.fingerprint == data.fingerprint
    np.testing.assert_array_equal(again.splits["test"].load(4), data.splits["test"].load(4))


def test_data_passes_through():
    data = open_data("scenes(train=10, test=10)")
    assert open_data(data) is data


@pytest.mark.parametrize(
    "text", ["scenes(48)", "scenes(size=__import__('os'))", "scenes(size=", "scenes(**x)"]
)
def test_text_that_cannot_be_read_is_told(text):
    with pytest.raises(OptionError, match="cannot read"):
        open_data(text)


def test_unknown_options_are_told(tmp_path):
    save(tmp_path / "a" / "1.png", 1)
    with pytest.raises(OptionError, match=r'no option "share"\. Nearest: shares.* Its options: seed, shares'):
        open_data(tmp_path, share=1)


def test_paths_that_are_nothing_are_told(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        open_data(tmp_path / "nowhere")
    (tmp_path / "a.zip").write_bytes(b"")
    with pytest.raises(DataError, match="neither a folder"):
        open_data(tmp_path / "a.zip")


def _split(count, targets=None):
    targets = np.zeros(count, dtype=np.int64) if targets is None else targets
    return Split(
        names=tuple(map(str, range(count))), targets=targets, load=lambda item: np.zeros((2, 2, 3), np.uint8)
    )


def test_data_needs_train_and_test_and_labels_that_are_classes():
    with pytest.raises(DataError, match="no item in split test"):
        ImageData("x", ("a",), {"train": _split(3)}, {}, "")
    with pytest.raises(DataError, match="no item in split train"):
        ImageData("x", ("a",), {"train": _split(0), "test": _split(3)}, {}, "")
    with pytest.raises(DataError, match=r"label 7 of 1 is not in 0..0 \(1 such\)"):
        ImageData("x", ("a",), {"train": _split(3), "test": _split(2, np.array([0, 7]))}, {}, "")
    with pytest.raises(DataError, match="3 names came with 2 targets"):
        _split(3, np.array([0, 0]))


def test_a_folder_called_scenes_is_never_mistaken_for_the_built_in_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("scenes", "scenes (copy)", "scenes(2)"):
        make_folder(tmp_path / name)
        assert open_data(f"./{name}").classes == ("cat", "dog")
        if name != "scenes":
            assert open_data(name).classes == ("cat", "dog")
    with pytest.raises(OptionError, match=r"Write \./scenes .* scenes\(\)"):
        open_data("scenes")
    built_in = open_data("scenes(train=20, val=0, test=10)")
    assert reopen(built_in.origin).fingerprint == built_in.fingerprint
    assert open_data("scenes(train=20, val=0, test=10)").classes != ("cat", "dog")
