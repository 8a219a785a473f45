"""Every option of the openers can be said on the command line, with the same effect."""

import inspect
from dataclasses import fields

import numpy as np
import pytest

from foveate.cli.__main__ import main
from foveate.data.captions.open_captions import open_captions
from foveate.data.coco.open_coco import open_coco
from foveate.data.command_options import DataOptions
from foveate.data.folders.open_folder import open_folder
from foveate.data.masks.open_mask_folder import open_mask_folder
from foveate.data.open import call_opener, open_data
from foveate.data.pairs.open_pairs import open_pairs
from foveate.data.tables.open_manifest import open_manifest
from foveate.errors import OptionError
from tests.data.image_samples import save
from tests.data.mask_samples import labels, make_masks, save_mask


def options_of(opener):
    return {name for name, p in inspect.signature(opener).parameters.items() if p.kind is p.KEYWORD_ONLY}


@pytest.mark.parametrize(
    "opener", [open_folder, open_mask_folder, open_manifest, open_coco, open_pairs, open_captions]
)
def test_no_option_of_an_opener_is_missing_from_the_command_line(opener):
    said = {field.name for field in fields(DataOptions)} - {"split_seed"} | {"seed"}
    assert options_of(opener) <= said


@pytest.mark.parametrize(
    "said, given",
    [
        ({"classes": "road, car,void"}, {"classes": ["road", "car", "void"]}),
        ({"classes": "34"}, {"classes": 34}),
        ({"ignore_index": "255, void"}, {"ignore_index": [255, "void"]}),
        ({"ignore_index": "-1,²"}, {"ignore_index": [-1, "²"]}),
        ({"colours": "classes.csv"}, {"colours": "classes.csv"}),
        ({"colours": "road=(1,2,3), sky=7"}, {"colours": {"road": (1, 2, 3), "sky": 7}}),
        ({"shares": "0.5,0,0.5", "split_seed": 3}, {"shares": [0.5, 0.0, 0.5], "seed": 3}),
        ({}, {}),
    ],
)
def test_words_become_what_python_takes(said, given):
    assert DataOptions(**said).given() == given


@pytest.mark.parametrize("said", [{"classes": "road"}, {"shares": "half"}, {"ignore_index": "0,--5"}])
def test_words_that_cannot_be_read_are_told(said):
    with pytest.raises(OptionError, match=f"--{next(iter(said)).replace('_', '-')}"):
        DataOptions(**said).given()


@pytest.mark.slow
def test_soft_masks_are_checked_and_trained_on_as_the_error_advises(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "polyps"
    for n in range(10):
        save(root / "images" / f"{n}.jpg", n)
        save_mask(root / "masks" / f"{n}.jpg", labels(n, classes=2) * np.uint8(255))
    assert main(["check", str(root)]) == 1
    assert "--threshold 128 on the command line" in capsys.readouterr().out
    assert main(["check", str(root), "--threshold", "128"]) == 0
    assert main(["check", str(root), "--class-folders", "inner"]) == 0
    words = ["--model", "unet(encoder=None, widths=(4, 8))", "--epochs", "1", "--out", str(tmp_path / "kept")]
    capsys.readouterr()
    assert main(["train", str(root), *words, "--threshold", "128", "--shares", "0.6,0.1,0.3"]) == 0
    assert "3 test images" in capsys.readouterr().out
    assert (
        main(["compare", str(root), "--dry-run", "--threshold", "128", "--try", "se@bottleneck", *words[:4]])
        == 0
    )


def test_folders_and_classes_are_named_on_the_command_line(tmp_path, capsys):
    root = make_masks(tmp_path / "a", "{split}/rgb/{n}.png", "{split}/ref/{n}.png")
    words = ["--images", "rgb", "--masks", "ref", "--classes", "ground,box,void", "--ignore-index", "void"]
    assert main(["check", str(root), *words]) == 0
    assert "ground" in capsys.readouterr().out
    options = {
        "images": "rgb",
        "masks": "ref",
        "classes": ["ground", "box", "void"],
        "ignore_index": ["void"],
    }
    assert open_data(root, **options).classes == ("ground", "box")
    assert main(["check", str(root), "--separator", "|"]) == 2 or "separator" in capsys.readouterr().out


def test_an_option_for_other_data_is_refused(capsys):
    assert main(["check", "scenes", "--source", "en"]) == 2
    assert "no option is called source" in capsys.readouterr().err


@pytest.mark.parametrize("opener", [open_pairs, open_captions])
def test_an_option_that_an_opener_lacks_is_refused_by_its_flag(opener):
    with pytest.raises(OptionError, match="Leave --ignore-index out"):
        call_opener("words", opener, {"ignore_index": 3}, "anything")
    with pytest.raises(OptionError, match="longest: got 'many', expected a whole number or None"):
        call_opener("words", opener, {"longest": "many"}, "anything")
