"""Models on large pictures: trained, resumed, asked and drawn, whether they take parts or a tensor."""

import numpy as np
import pytest
import tifffile
import torch
from torch import nn

from foveate.data.large.large_feed import LargeFeed
from foveate.data.open import open_data
from foveate.errors import OptionError
from foveate.infer.load import load
from foveate.large_pictures import LargePictures, as_pictures
from foveate.recipe import TrainConfig
from foveate.tasks.base import task_named
from foveate.tasks.large_inputs import large_example, middle_squares, takes_large
from foveate.train.train_one import train

CORNERS = torch.tensor([[0, 0], [200, 90], [480, 480]])


class Looker(nn.Module):
    """Looks at an overview and at three places in full."""

    takes = LargePictures

    def __init__(self, classes=10):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 4, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes)
        )

    def forward(self, x):
        pictures = as_pictures(x)
        windows = pictures.windows(CORNERS.expand(len(pictures), -1, -1), (30, 30))
        parts = self.net(windows.flatten(0, 1)).unflatten(0, windows.shape[:2])
        return parts.mean(1) + self.net(pictures.overview(0.1))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def data():
    return open_data("megapixel(size=500, train=8, val=2, test=6)")


RECIPE = TrainConfig(epochs=2, batch_size=2, augment="flip")


def test_a_run_that_was_stopped_ends_with_the_same_bits(tmp_path, data):
    model = Looker()
    whole = train(data, model=model, train=RECIPE, out=tmp_path / "whole")
    stopped = TrainConfig(**{**vars(RECIPE), "max_steps": 3})
    train(data, model=model, train=stopped, out=tmp_path / "parts")
    parts = train(data, model=model, train=RECIPE, out=tmp_path / "parts")
    for name, one in whole.model.state_dict().items():
        assert torch.equal(one, parts.model.state_dict()[name])
    assert whole.facts == ("10 classes", "224 px", "read in parts of 500x500 px")


def test_files_are_predicted_one_by_one_and_broken_ones_named(tmp_path, data):
    train(data, model="resnet8", size=32, train=RECIPE, out=tmp_path / "run", epochs=1)
    split, paths = data.splits["test"], []
    for item in range(2):
        paths.append(tmp_path / f"{item}.tif")
        tifffile.imwrite(paths[-1], split.load(item), tile=(64, 64), photometric="rgb")
    broken = tmp_path / "broken.tif"
    broken.write_bytes(paths[0].read_bytes()[:9000])
    model = load(tmp_path / "run")
    told = list(model.task.tell(model, [str(path) for path in (paths[0], broken, paths[1])]))
    assert [one.failed for one in told] == [False, True, False]
    assert "broken.tif" in told[1].lines[0]
    batch = next(iter(LargeFeed(split, RECIPE, *model.task.normalisation).test(2)))
    with torch.no_grad():
        expected = model(middle_squares(batch.images, 32)).softmax(1)
    torch.testing.assert_close(model.predict([str(path) for path in paths]), expected)


def test_a_model_of_tensors_sees_the_middle_square_of_an_overview(data):
    pictures = large_example((300, 200), 2, (0.5,) * 3, (0.5,) * 3)
    squares = middle_squares(pictures, 50)
    assert squares.shape == (2, 3, 50, 50)
    assert torch.equal(squares, pictures.overview(0.25)[:, :, 12:62])
    assert takes_large(Looker())
    assert not takes_large(nn.Linear(1, 1))


def test_the_usual_recipe_does_not_crop_and_a_crop_is_refused(tmp_path, data):
    kind, _ = task_named("classification")
    assert kind.usual_recipe(data).augment == "none"  # a mirrored digit is another sign
    with pytest.raises(OptionError, match="--augment flip"):
        train(data, model=Looker(), train=TrainConfig(augment="crop"), out=tmp_path / "run")


def test_a_folder_of_ordinary_pictures_is_read_in_parts_for_a_model_that_wants_it(tmp_path):
    for split in ("train", "test"):
        for number, label in enumerate(("a", "b")):
            (tmp_path / split / label).mkdir(parents=True)
            for item in range(2):
                shown = np.full((520, 510, 3), 90 * number + 20 * item, np.uint8)
                tifffile.imwrite(tmp_path / split / label / f"{item}.tif", shown, photometric="rgb")
    found = train(open_data(tmp_path), model=Looker(2), train=RECIPE, out=tmp_path / "run")
    assert found.model.task.large == (520, 510)
    assert found.model.predict([str(tmp_path / "test" / "a" / "0.tif")]).shape == (1, 2)


def test_who_draws_gets_the_pictures_in_parts_and_small_squares(tmp_path, data):
    tifffile.imwrite(tmp_path / "p.tif", data.splits["test"].load(0), photometric="rgb")
    task, _ = task_named("classification")
    made = task.of({"classes": data.classes, "size": (224, 224), "large": (500, 500)})
    pictures, squares = made.in_parts(Looker(), [tmp_path / "p.tif"])
    assert pictures.sizes == [(500, 500)]
    assert squares[0].shape == (224, 224, 3)
    assert made.in_parts(nn.Linear(1, 1), [tmp_path / "p.tif"]) is None


def test_several_labels_of_large_pictures(tmp_path, data):
    rows = ["path,split,even,small"]
    for name in ("train", "test"):
        for item in range(4):
            tifffile.imwrite(tmp_path / f"{name}{item}.tif", data.splits[name].load(item), photometric="rgb")
            rows.append(f"{name}{item}.tif,{name},{item % 2},{item // 2}")
    (tmp_path / "table.csv").write_text("\n".join(rows))
    opened = open_data(tmp_path / "table.csv", large=True)
    assert opened.task == "diagnosis"
    found = train(opened, model=Looker(2), train=RECIPE, out=tmp_path / "run")
    assert found.metric.name == "AUROC"


def test_a_report_shows_large_pictures_under_every_model(data):
    task, _ = task_named("classification")
    made = task.of({"classes": data.classes, "size": (32, 32), "large": (500, 500)}, recipe=RECIPE)
    test = made.feeds(data)["test"]
    models = {
        "looker": Looker().eval(),
        "small": nn.Sequential(nn.Conv2d(3, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    }
    answers = {name: np.full((6, 10), 0.1) for name in models}
    cards = made.cards(models, test, answers, {})
    assert len(cards) == 6
    assert [variant["name"] for variant in cards[0]["variants"]] == list(models)
    assert cards[0]["truth"].startswith("data:image")
