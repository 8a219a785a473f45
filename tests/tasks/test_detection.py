"""The task detection: from data to a trained model, a study and predictions."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import foveate as fv
from foveate.cli.__main__ import main
from foveate.compare.report.cards import CARDS, expect_cards
from foveate.data.boxes.boxes import Boxes
from foveate.detect.draw_boxes import draw_boxes
from foveate.errors import DataError, OptionError, ShapeError
from foveate.recipe import TrainConfig
from foveate.tasks.cards.box_pictures import choose
from foveate.tasks.detection import Detection
from foveate.tasks.part import Network
from foveate.train.evaluate import evaluate
from tests.data.boxes import box_samples

SMALL = "scenes(train=8, val=0, test=6, classes=2)"


class Oracle(nn.Module):
    """Finds what it was told, in the order in which pictures come; a stand-in for a detector."""

    def __init__(self, truths):
        super().__init__()
        self.truths, self.weight = list(truths), nn.Parameter(torch.zeros(()))

    def forward(self, images, targets=None):
        if self.training:
            return {"loss": self.weight * len(targets), "other": self.weight + 1}
        some, self.truths = self.truths[: len(images)], self.truths[len(images) :]
        return [
            {
                "boxes": torch.from_numpy(one.boxes).float(),
                "labels": torch.from_numpy(one.labels) + 1,
                "scores": torch.linspace(0.9, 0.4, len(one)),
            }
            for one in some
        ]


def opened(source=SMALL, **recipe):
    data = Detection.open(source)
    task = Detection.of(Detection.inputs_of(data), recipe=TrainConfig(**recipe))
    return data, task, task.feeds(data)


def test_a_model_is_judged_by_the_boxes_that_it_finds():
    _, task, feeds = opened()
    truths = feeds["test"].boxes
    found = evaluate(Oracle(truths), task, feeds["test"], batch_size=4)
    assert found.score == pytest.approx(1.0)
    assert task.figures(found.records)["AR100"] == pytest.approx(100)
    assert [len(answer) for answer in found.answers] == [len(one) for one in truths]
    half = [one.kept(np.arange(len(one)) < 2) for one in truths]
    less = evaluate(Oracle(half), task, feeds["test"], batch_size=4)
    assert 0.3 < less.score < 0.7
    without = task.value_without_each(less.records)
    assert without == pytest.approx([task.value(np.delete(less.records, n, axis=0)) for n in range(6)])
    assert task.by_class(less.records).mean() == pytest.approx(less.score)
    batch = next(iter(feeds["test"].test(3)))
    assert task.loss(Oracle(truths).train(), batch).item() == 1.0  # the sum of its losses


def test_what_does_not_go_together_is_refused():
    data, task, _ = opened()
    for option in ({"loss": "ce"}, {"label_smoothing": 0.1}, {"crop": 32}, {"class_weights": "inverse"}):
        with pytest.raises(OptionError, match="a detector brings its own loss"):
            Detection.of(task.inputs, recipe=TrainConfig(**option))
    with pytest.raises(ShapeError, match="does not detect"):
        task.expect_model("resnet18")
    with pytest.raises(ShapeError, match="expected a list with boxes"):
        task.try_out("mine", Numbers())
    with pytest.raises(DataError, match="expected pictures with boxes"):
        Detection.expect(fv_scenes())
    with pytest.raises(OptionError, match="sees every image at a size of its own"):
        Detection.of(task.inputs, recipe=TrainConfig(size=64)).expect_model("ssd300_vgg16")
    bare = [Boxes.of([], [])] * len(data.boxes["test"])
    with pytest.raises(DataError, match="none has a box"):
        task.expect_judgeable(task.feeds(data)["test"].__class__(data.images.splits["test"], tuple(bare)))


class Numbers(nn.Module):
    def forward(self, images, targets=None):
        return torch.zeros(len(images), 3)


def fv_scenes():
    from foveate.data.open import open_data

    return open_data("scenes(train=4, val=0, test=2)")


def test_a_size_reaches_the_detector():
    data, task, _ = opened(size=96)
    assert task.model_options() == {"classes": 3, "min_size": 96}
    model = fv.create_model("fcos(encoder=resnet8)", **task.model_options())
    fitted = task.fitted(data, Network("fcos(encoder=resnet8)", model, size=96))
    again = Detection.of(Detection.read_inputs(json.loads(json.dumps(fitted))))
    assert again.model_options() == task.model_options()
    assert again.facts() == ("2 classes", "64x64 px", "short side brought to 96 px")


def test_pictures_on_which_variants_differ_come_first():
    same = np.array([[0, 0, 10, 10, 0.9, 1]], np.float32)
    other = np.array([[50, 50, 60, 60, 0.9, 1]], np.float32)
    unsure = np.array([[50, 50, 60, 60, 0.2, 1]], np.float32)
    order, differ = choose({"a": [same, same, same], "b": [same, other, unsure]}, 3)
    assert order.tolist() == [1, 2, 0]
    assert differ.tolist() == [0, 1, 1]


def test_boxes_are_drawn_in_the_colours_of_their_classes():
    palette = np.array([[255, 0, 0], [0, 0, 255]], np.uint8)
    image = np.full((400, 500, 3), 128, np.uint8)
    boxes = np.array([[100.0, 100, 200, 300], [250, 50, 480, 390]])
    drawn = np.asarray(draw_boxes(image, boxes, np.array([0, 1]), classes=("car", "sign"), palette=palette))
    assert drawn.shape == image.shape
    for (left, top, right, bottom), colour in zip(boxes.astype(int), palette, strict=True):
        assert (drawn[top + 50, left] == colour).all()
        assert (drawn[bottom - 1, (left + right) // 2] == colour).all()
    assert (drawn[200, 150] == 128).all()
    small = draw_boxes(image[:20, :30], boxes[:0], np.array([], int), classes=("car",), palette=palette)
    assert small.size == (480, 320)


@pytest.mark.slow
def test_a_detector_learns_scenes_and_predicts(tmp_path, capsys):
    trained = fv.train(
        "scenes(train=200, val=0, test=40, classes=2, distractors=0, strokes=0, size=48)",
        task="detection",
        model="fcos(encoder=resnet8)",
        attention="se@blocks",
        epochs=4,
        out=tmp_path / "run",
    )
    assert trained.figures["mAP50"] > 30
    home = box_samples.pictures(tmp_path / "shots") or tmp_path / "shots"
    words = ["predict", str(tmp_path / "run"), str(home), "--out", str(tmp_path / "found")]
    assert main([*words, "--least-score", "0.05", "--json"]) in (0, None)
    told = json.loads(capsys.readouterr().out)
    assert [one["image"] for one in told] == [str(home / f"{name}.png") for name in "abc"]
    content = json.loads((tmp_path / "found" / "detections.json").read_text())
    assert [one["file_name"] for one in content["images"]] == [one["image"] for one in told]
    assert [one["id"] for one in content["categories"]] == [0, 1]
    for one in told:
        with Image.open(one["drawn"]) as drawn:
            assert min(drawn.size) >= 320
    (boxes,) = trained.model.predict(str(home / "a.png"), least_score=0.0)
    ours = [note for note in content["annotations"] if note["image_id"] == 1]
    assert boxes["scores"] == pytest.approx([note["score"] for note in ours], abs=1e-4)
    with pytest.raises(OptionError, match="least_score"):
        trained.model.predict(str(home / "a.png"), least_score=2.0)


@pytest.mark.nightly  # one that learns and predicts: in the gate
def test_a_study_of_detectors_has_verdicts_and_cards(tmp_path):
    study = fv.compare(
        "scenes(train=16, val=0, test=8, classes=2)",
        task="detection",
        model="fcos(encoder=resnet8)",
        variants=["se@blocks"],
        seeds=2,
        epochs=1,
        control="none",
        out=tmp_path / "study",
    )
    assert set(study.verdicts) == {"se@blocks"}
    cards = json.loads((tmp_path / "study" / "pictures.json").read_text())
    expect_cards(cards, tmp_path, only_known=True)
    assert {card["kind"] for card in cards} == {"boxes"} <= set(CARDS)
    page = (tmp_path / "study" / "report.html").read_text()
    assert "agree on the fewest boxes" in page
