import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

import foveate as fv
from foveate.cli.__main__ import main
from foveate.errors import DataError, ShapeError
from foveate.models.crf import refine
from tests.data.mask_samples import make_masks


@pytest.fixture
def picture(tmp_path):
    """Two halves of different colours, and probabilities that follow them but for a few wrong pixels."""
    image = np.zeros((24, 30, 3), np.uint8)
    image[:, 15:] = (200, 180, 40)
    true = np.zeros((24, 30), np.uint8)
    true[:, 15:] = 1
    wrong = true.copy()
    wrong[4, 4], wrong[10, 20], wrong[0, 29] = 1, 0, 0
    Image.fromarray(image).save(tmp_path / "image.png")
    Image.fromarray(wrong).save(tmp_path / "mask.png")
    one_hot = np.where(np.arange(2)[:, None, None] == wrong, 0.7, 0.3)
    np.save(tmp_path / "probabilities.npy", one_hot.astype(np.float16))
    return tmp_path, true


@pytest.mark.parametrize("given", ["mask.png", "probabilities.npy"])
def test_wrong_pixels_are_talked_out_of_it(picture, given, capsys):
    home, true = picture
    out = home / "new" / "refined.png"
    assert main(["crf", str(home / "image.png"), str(home / given), "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    with Image.open(out) as refined:
        assert refined.mode == "P"
        np.testing.assert_array_equal(np.asarray(refined), true)
    assert told["classes"] == 2 and told["changed"] == pytest.approx(3 / (24 * 30))


def test_probabilities_can_be_kept(picture, capsys):
    home, true = picture
    arguments = ["crf", str(home / "image.png"), str(home / "mask.png"), "--out", str(home / "refined.npy")]
    assert main(arguments) == 0
    assert "30x24 px, 2 classes; 0.4 % of the pixels changed" in capsys.readouterr().out
    found = np.load(home / "refined.npy")
    assert found.shape == (2, 24, 30) and ((found[1] > 0.5) == true).all()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["image.png", "image.png", "--out", "x.png"], "expected one class number a pixel"),
        (["image.png", "mask.png", "--out", "mask.png"], "is one of the inputs"),
        (["image.png", "mask.png", "--out", "x.png", "--certainty", "0.4"], "above 1/2 and below 1"),
        (["image.png", "bad.npy", "--out", "x.png"], "bad.npy: probabilities go from 3 to 3"),
        (["image.png", "nan.npy", "--out", "x.png"], "nan.npy: 1 pixels have probabilities that are NaN"),
        (["image.png", "sigmoid.npy", "--out", "x.png"], "720 pixels do not sum to 1"),
        (["image.png", "numbers.npy", "--out", "x.png"], "expected probabilities (classes, height, width)"),
        (["image.png", "empty.npy", "--out", "x.png"], "expected probabilities (classes, height, width)"),
        (["image.png", "flat.png", "--out", "x.png"], "holds class 0 alone"),
        (["image.png", "unknown.png", "--out", "x.png"], "255 alone, which stands for unknown"),
        (["image.png", "soft.png", "--out", "x.png"], "soft edges"),
        (["image.png", "deep.png", "--out", "x.png"], "values from 0 to 700"),
        (["image.png", "mask.jpg", "--out", "x.png"], "a JPEG, which blurs class numbers"),
        (["image.png", "small.png", "--out", "x.png"], "small.png: 10x8 pixels, but image.png has 30x24"),
        (["image.png", "mask.png", "--out", "x.jpg"], "ends in .png"),
        (["image.png", "mask.png", "--out", "x.png", "--position", "0"], "position"),
        (["image.png", "mask.png", "--out", "x.png", "--colour", "inf"], "colour"),
        (["image.png", "mask.png", "--out", "x.png", "--bilateral-weight", "nan"], "bilateral_weight"),
        (["image.png", "mask.png", "--out", "x.png", "--iterations", "-1"], "iterations"),
    ],
)
def test_mistakes_are_told(picture, arguments, text, capsys, monkeypatch):
    monkeypatch.chdir(picture[0])
    np.save("bad.npy", np.full((2, 24, 30), 3.0))
    np.save("nan.npy", np.where(np.arange(24 * 30).reshape(24, 30) == 40, np.nan, np.full((2, 24, 30), 0.5)))
    np.save("sigmoid.npy", np.full((2, 24, 30), 0.8))
    np.save("numbers.npy", np.ones((2, 24, 30), np.uint8))
    np.save("empty.npy", np.ones((2, 0, 30)))
    for name, values in {
        "flat.png": np.zeros((24, 30), np.uint8),
        "unknown.png": np.full((24, 30), 255, np.uint8),
        "soft.png": np.linspace(0, 255, 720).reshape(24, 30).astype(np.uint8),
        "deep.png": np.linspace(0, 700, 720).reshape(24, 30).astype(np.uint16),
        "mask.jpg": np.eye(24, 30, dtype=np.uint8),
        "small.png": np.eye(8, 10, dtype=np.uint8),
    }.items():
        Image.fromarray(values).save(name)
    assert main(["crf", *arguments]) == 2
    assert text in capsys.readouterr().err


def test_an_output_over_an_input_is_refused_before_the_work(picture, monkeypatch, capsys):
    monkeypatch.chdir(picture[0])
    monkeypatch.setattr(sys.modules["foveate.models.crf.refine"], "refine", None)
    assert main(["crf", "image.png", "mask.png", "--out", "./image.png"]) == 2
    assert "is one of the inputs" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["crf_rnn(model=unet(encoder=resnet8))", "dense_crf(model=unet, encoder=resnet8)"]
)
@pytest.mark.slow
def test_a_network_with_a_crf_is_trained_kept_looked_at_and_asked(name, tmp_path, capsys):
    data, out = make_masks(tmp_path / "data", each=4), tmp_path / "out"
    assert (
        main(["train", str(data), "--model", name, "--epochs", "1", "--size", "24", "--out", str(out)]) == 0
    )
    assert "mIoU" in capsys.readouterr().out
    with safe_open(out / "model.safetensors", "pt") as file:
        assert file.metadata()["foveate.model"].split("(")[0] == name.split("(")[0]
    model = fv.load(out)
    picture = next((data / "test" / "images").iterdir())
    with fv.record(model) as maps:
        [probabilities] = model.predict(picture)
    assert maps["map"].shape[1] == 1
    torch.testing.assert_close(probabilities.sum(0), torch.ones(probabilities.shape[1:]))
    again = fv.create_model(name, classes=3, weights=out / "model.safetensors")
    assert all(torch.equal(v, model.state_dict()[n]) for n, v in again.state_dict().items())


@pytest.mark.slow
def test_a_network_with_a_crf_can_be_studied(tmp_path, capsys):
    data, out = make_masks(tmp_path / "data", each=4), tmp_path / "study"
    asked = ["--model", "crf_rnn(model=unet(encoder=resnet8))", "--try", "se@bottleneck", "--dry-run"]
    assert main(["compare", str(data), *asked, "--epochs", "1", "--size", "16", "--out", str(out)]) == 0
    assert "se@bottleneck" in capsys.readouterr().out


@pytest.mark.parametrize(
    "form", ["0 and 255", "0, 1 and unknown", "one bit", "turned", "one channel", "two axes"]
)
def test_every_form_of_a_mask_of_two_classes_gives_the_same_object(picture, form):
    home, true = picture
    with Image.open(home / "mask.png") as mask:
        wrong = np.asarray(mask)
    given = home / ("given.npy" if form in ("one channel", "two axes") else "given.png")
    if form == "0 and 255":
        Image.fromarray(wrong * 255).save(given)
    elif form == "0, 1 and unknown":
        unsure = wrong.copy()
        unsure[2:4, 2:4] = 255
        Image.fromarray(unsure).save(given)
    elif form == "one bit":
        Image.fromarray(wrong.astype(bool)).save(given)
    elif form == "turned":
        exif = Image.Exif()
        exif[0x0112] = 3
        Image.fromarray(wrong[::-1, ::-1].copy()).save(given, exif=exif)
    else:
        likely = np.where(wrong == 1, 0.7, 0.3)
        np.save(given, likely[None] if form == "one channel" else likely)
    assert main(["crf", str(home / "image.png"), str(given), "--out", str(home / "out.png")]) == 0
    with Image.open(home / "out.png") as refined:
        np.testing.assert_array_equal(np.asarray(refined), true)


@pytest.mark.parametrize(
    ("probabilities", "error"),
    [
        (torch.full((1, 4, 5), 1.0), ShapeError),
        (torch.full((2, 4, 5), torch.nan), DataError),
        (torch.full((2, 4, 5), torch.inf), DataError),
        (torch.full((2, 4, 5), -1.0), DataError),
        (torch.full((2, 4, 5), 0.4), DataError),
    ],
)
def test_what_is_not_probabilities_is_refused_in_python_too(probabilities, error):
    with pytest.raises(error):
        refine(probabilities, np.zeros((4, 5, 3), np.uint8))


def test_probabilities_rounded_to_half_precision_are_taken():
    rounded = torch.rand(150, 6, 7).softmax(dim=0).half()
    assert refine(rounded, np.zeros((6, 7, 3), np.uint8)).isfinite().all()
