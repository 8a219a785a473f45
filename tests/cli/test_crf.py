import json

import numpy as np
import pytest
import torch
from mask_samples import make_masks
from PIL import Image
from safetensors import safe_open

import foveate as fv
from foveate.cli.__main__ import main


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
        (["image.png", "bad.npy", "--out", "x.png"], "expected probabilities"),
        (["image.png", "mask.png", "--out", "x.png", "--position", "0"], "position"),
    ],
)
def test_mistakes_are_told(picture, arguments, text, capsys, monkeypatch):
    monkeypatch.chdir(picture[0])
    np.save("bad.npy", np.full((2, 24, 30), 3.0))
    assert main(["crf", *arguments]) == 2
    assert text in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["crf_rnn(model=unet(encoder=resnet8))", "dense_crf(model=unet, encoder=resnet8)"]
)
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


def test_a_network_with_a_crf_can_be_studied(tmp_path, capsys):
    data, out = make_masks(tmp_path / "data", each=4), tmp_path / "study"
    asked = ["--model", "crf_rnn(model=unet(encoder=resnet8))", "--try", "se@bottleneck", "--dry-run"]
    assert main(["compare", str(data), *asked, "--epochs", "1", "--size", "16", "--out", str(out)]) == 0
    assert "se@bottleneck" in capsys.readouterr().out
