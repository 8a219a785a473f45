"""One resolver for whatever a user may call a model."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image

from foveate.data.picture_form import PictureForm
from foveate.data.prepare_pictures import batch_of, mask_of, pixels_of
from foveate.errors import CheckpointError, OptionError, UnknownNameError
from foveate.infer.find_model import find_model, imagenet_classes
from foveate.models.normalisation import IMAGENET_MEAN, IMAGENET_STD
from foveate.recipe import TrainConfig
from foveate.train.progress import Silent
from foveate.train.train_one import train

HALF = (0.5, 0.5, 0.5)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("find")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOVEATE_CACHE", str(folder / "cache"))
        data = "scenes(size=24, train=16, val=0, test=6, classes=3)"
        recipe = TrainConfig(batch_size=8)
        trained = train(
            data, model="resnet8(width=4)", out=folder / "run", train=recipe, epochs=1, progress=Silent()
        )
    return folder / "run", trained


def test_a_folder_of_a_training(run):
    path, trained = run
    found = find_model(path)
    assert found.classes == ("0", "1", "2") and found.form.size == (24, 24) and not found.model.training
    x = torch.rand(2, 3, 24, 24)
    assert torch.allclose(found.model(x), trained.model.eval()(x), atol=1e-6)
    assert find_model(str(path)).name == str(path)


@pytest.mark.parametrize("options", [{"size": 32}, {"weights": "x.pth"}, {"untrained": True}])
def test_options_of_created_models_do_not_go_with_a_folder(run, options):
    with pytest.raises(OptionError, match=f"{next(iter(options))} is for models that are created by name"):
        find_model(run[0], **options)


def test_a_name_without_weights_is_an_error_unless_asked_for(monkeypatch):
    with pytest.raises(CheckpointError, match="resnet8 has no published weights"):
        find_model("resnet8")
    found = find_model("resnet8", classes=4, size=16, untrained=True)
    assert (
        found.form.size == (16, 16)
        and found.classes == ()
        and found.model(torch.rand(1, 3, 16, 16)).shape == (1, 4)
    )


def test_names_that_mean_nothing():
    with pytest.raises(UnknownNameError, match="resnet18"):
        find_model("resnet188")
    with pytest.raises(CheckpointError, match="no model is there"):
        find_model("./nowhere")


def test_a_function_of_the_users_own(tmp_path, monkeypatch):
    (tmp_path / "my_nets_of_find.py").write_text(
        "from torch import nn\n"
        "def build(classes):\n    return nn.Sequential(nn.Conv2d(3, classes, 1), nn.Flatten())\n"
    )
    monkeypatch.chdir(tmp_path)
    try:
        found = find_model("my_nets_of_find:build", classes=5, size=8)
    finally:
        sys.modules.pop("my_nets_of_find", None)
    assert found.form.size == (8, 8) and found.model[0].out_channels == 5


def test_published_weights_from_an_installed_package():
    found = find_model("tf_efficientnet_lite0")
    assert len(found.classes) == 1000 and found.form.size == (224, 224)
    assert (found.form.mean, found.form.std) == (HALF, HALF)
    assert imagenet_classes()[207].startswith("golden retriever")


def test_pictures_are_cut_or_laid_on_a_canvas_and_their_masks_with_them():
    pixels = np.zeros((10, 20, 3), np.uint8)
    pixels[2:6, 12:16] = 255  # inside of the middle square, which is columns 5 to 15
    mask = pixels[:, :, 0] > 0
    cut = PictureForm((10, 10), IMAGENET_MEAN, IMAGENET_STD)
    assert np.array_equal(pixels_of(pixels, cut), pixels[:, 5:15])
    assert np.array_equal(mask_of(mask, cut), mask[:, 5:15])
    laid = PictureForm((20, 20), HALF, HALF, cut=False)
    assert np.array_equal(pixels_of(pixels, laid)[5:15], pixels)
    assert np.array_equal(mask_of(mask, laid)[5:15], mask) and mask_of(mask, laid).sum() == mask.sum()
    batch = batch_of([pixels_of(Image.fromarray(pixels), cut)] * 2, cut)
    expected = (
        torch.from_numpy(pixels[:, 5:15] / 255.0).permute(2, 0, 1) - torch.tensor(IMAGENET_MEAN).view(3, 1, 1)
    ) / torch.tensor(IMAGENET_STD).view(3, 1, 1)
    assert torch.allclose(batch[1].double(), expected, atol=1e-6)
