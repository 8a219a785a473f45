"""What a map explains: classes, pixels, regions, boxes and words, and how it is said."""

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

import foveate as fv
from foveate.errors import OptionError, ShapeError
from foveate.explain.detector_canvas import Canvas
from foveate.explain.explain import explained
from foveate.explain.scores import choose_score
from foveate.explain.targets import Box, Class, Pixel, Region, Word, read_target
from tests.each import each


class Segmenter(nn.Module):
    """Scores of a map at half the resolution."""

    def __init__(self, classes=3):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ReLU())
        self.scores = nn.Conv2d(6, classes, 1)

    def forward(self, x):
        return {"out": self.scores(self.body(x))}


X = torch.rand(2, 3, 12, 16, generator=torch.Generator().manual_seed(0))


def test_classes():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()
    predicted = model(X).argmax(1)
    torch.testing.assert_close(fv.explain(model, X), fv.explain(model, X, target=predicted))
    mixed = fv.explain(model, X, "hires_cam", target=[2, Class(0)])
    torch.testing.assert_close(mixed[0], fv.explain(model, X, "hires_cam", target=2)[0])
    torch.testing.assert_close(mixed[1], fv.explain(model, X, "hires_cam", target=0)[1])
    with pytest.raises(OptionError, match="class 3, expected 0 to 2"):
        fv.explain(model, X, target=3)


def test_a_single_column_is_the_logit_of_class_1():
    logits = torch.tensor([[2.0], [-1.0]])
    assert choose_score(logits, [Class(), Class()]).classes.tolist() == [1, 0]
    score = choose_score(logits, [Class(1), Class(0)])
    assert score.logits(logits).tolist() == [2, 1]
    torch.testing.assert_close(score.probabilities(logits), torch.tensor([2.0, 1.0]).sigmoid())


def test_a_pixel_is_the_region_that_holds_it():
    model = Segmenter().eval()
    mask = torch.zeros(12, 16, dtype=torch.bool)
    mask[5, 9] = True
    by_pixel = fv.explain(model, X, "saliency", target=(5, 9))
    torch.testing.assert_close(by_pixel, fv.explain(model, X, "saliency", target=mask))
    x = X.clone().requires_grad_()
    out = model(x)["out"][:, :, 2, 4]  # half the resolution
    (gradient,) = torch.autograd.grad(out.amax(dim=1).sum(), x)
    torch.testing.assert_close(by_pixel, gradient.abs().amax(dim=1))
    assert not by_pixel[:, 8:].any()  # out of its sight
    other = fv.explain(model, X, "saliency", target=Pixel(5, 9, of=0))
    torch.testing.assert_close(other, fv.explain(model, X, "saliency", target=Region(mask, of=0)))


def test_regions_of_a_segmenter():
    model = Segmenter().eval()
    masks = torch.zeros(2, 12, 16, dtype=torch.bool)
    masks[0, :6], masks[1, :, :8] = True, True
    logits = model(X)["out"]
    score = choose_score(model(X), read_target(masks, 2, 12, 16))
    most = [
        int(logits[0, :, :3].argmax(0).flatten().mode().values),
        int(logits[1, :, :, :4].argmax(0).mode().values.mode().values),
    ]
    assert score.classes[0].item() == most[0]
    torch.testing.assert_close(score.logits(model(X))[0], logits[0, most[0], :3].sum())
    p = logits.softmax(1)[0, most[0], :3].mean()
    torch.testing.assert_close(score.probabilities(model(X))[0], p)


def test_a_class_of_a_segmenter_is_where_it_is_predicted():
    model = Segmenter().eval()
    logits = model(X)["out"]
    labels = logits.argmax(1)
    chosen = int(labels[0].flatten().mode().values)
    score = choose_score(model(X), [Class(chosen), Class()])
    torch.testing.assert_close(score.logits(model(X))[0], logits[0, chosen][labels[0] == chosen].sum())
    assert explained(model, X, target=chosen).layers == ("body",)  # not the scores themselves


def test_the_layer_of_an_encoder_decoder():
    model = fv.create_model("unet(encoder=resnet18)", classes=4).eval()
    found = explained(model, torch.rand(1, 3, 32, 32), "grad_cam", target=(3, 5))
    assert found.layers[0].startswith("decoder")


class Words(nn.Module):
    """Words that are scored from a picture and the words before."""

    def __init__(self):
        super().__init__()
        self.conv, self.words = nn.Conv2d(3, 4, 3, padding=1), nn.Embedding(7, 4)
        self.out = nn.Linear(4, 7)

    def forward(self, pictures, words):
        return self.out(F.relu(self.conv(pictures)).mean(dim=(2, 3))[:, None] * self.words(words))


def test_words():
    torch.manual_seed(0)
    model, words = Words().eval(), torch.tensor([[1, 2, 3], [4, 5, 6]])
    found = explained(model, (X, words), "saliency", target=[Word(2), Word(0, token=3)])
    x = X.clone().requires_grad_()
    logits = model(x, words)
    best = int(logits[0, 2].argmax())
    assert found.score.tokens.tolist() == [best, 3]
    (gradient,) = torch.autograd.grad(logits[0, 2, best] + logits[1, 0, 3], x)
    torch.testing.assert_close(found.maps, gradient.abs().amax(dim=1))
    one = fv.explain(model, (X, words), "occlusion(size=6)", target=Word(1))
    alone = fv.explain(model, (X[1:], words[1:]), "occlusion(size=6)", target=Word(1))
    torch.testing.assert_close(one[1:], alone)  # each changed picture goes with its own words
    with pytest.raises(OptionError, match="which step"):
        fv.explain(model, (X, words))
    with pytest.raises(OptionError, match="step 3, expected 0 to 2"):
        fv.explain(model, (X, words), target=Word(3))


def test_a_captioner():
    model = fv.create_model("show_attend_tell", classes=20, encoder="resnet18").eval()
    words = torch.randint(4, 20, (2, 5))
    found = explained(model, (torch.rand(2, 3, 64, 64), words), "grad_cam", target=Word(2))
    assert found.maps.shape == (2, 64, 64) and found.layers == ("encoder",)


def detector(name="fasterrcnn_mobilenet_v3_large_320_fpn"):
    torch.manual_seed(0)
    build = getattr(torchvision.models.detection, name)
    model = build(
        weights=None, weights_backbone=None, num_classes=3, box_score_thresh=0.0, min_size=64, max_size=96
    )
    return model.eval()


def test_boxes_of_a_detector():
    model = detector()
    images = [torch.rand(3, 48, 60) for _ in range(2)]
    found = explained(model, images, "grad_cam", target=Box(0))
    assert found.maps.shape == (2, 48, 60)
    assert all(layer.startswith("backbone.fpn.layer_blocks") for layer in found.layers)
    boxes = model(images)
    torch.testing.assert_close(found.score.boxes[1], boxes[1]["boxes"][0].detach())
    torch.testing.assert_close(found.score.logits(boxes)[0].detach(), boxes[0]["scores"][0].detach())
    torch.testing.assert_close(fv.explain(model, torch.stack(images), target=Box(0)), found.maps)
    gradient = fv.explain(model, images, "saliency", target=Box(0))
    assert gradient.shape == (2, 48, 60) and gradient.any()


def test_the_score_of_a_box_in_a_changed_image():
    found = {
        "boxes": torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5], [50, 50, 60, 60]]),
        "labels": torch.tensor([1, 2, 1]),
        "scores": torch.tensor([0.9, 0.8, 0.7]),
    }
    score = choose_score([found], [Box(0)])
    assert score.logits([found]).item() == pytest.approx(0.9)
    shifted = found | {"boxes": found["boxes"] + torch.tensor([5.0, 0, 5, 0])}
    assert score.logits([shifted]).item() == pytest.approx(0.9 / 3)
    assert score.logits([found | {"labels": torch.tensor([2, 2, 2])}]).item() == 0
    assert choose_score([found], [Class(2)]).labels.tolist() == [2]
    with pytest.raises(OptionError, match="Classes found: 1, 2"):
        choose_score([found], [Class(3)])
    with pytest.raises(OptionError, match="box 3, expected 0 to 2"):
        choose_score([found], [Box(3)])


def test_padding_of_a_detector_is_cut_away():
    maps = torch.zeros(1, 4, 4)
    maps[0, :2, :3] = 1
    assert Canvas(8, 8, (4, 6)).cut(maps).shape == (1, 4, 6)
    assert Canvas(8, 8, (4, 6)).cut(maps)[0, :3, :5].min() > 0.5


@each(
    [
        (-1, OptionError, "a number from 0"),
        ("cat", OptionError, "expected None, a class"),
        ((12, 0), OptionError, "image of 12 x 16"),
        (torch.tensor([1, 2, 3]), ShapeError, "got 3 for 2 images"),
        (torch.zeros(12, 16, dtype=torch.bool), ShapeError, "without a pixel"),
        (
            torch.ones(6, 8, dtype=torch.bool),
            ShapeError,
            r"expected torch.bool of the image's size \(12, 16\)",
        ),
        (torch.ones(12, 16), ShapeError, "torch.float32, expected torch.bool"),
        (Word(-1), OptionError, "a number from 0"),
        (True, OptionError, "expected None, a class"),
    ]
)
def test_what_is_no_target(case):
    target, error, text = case
    with pytest.raises(error, match=text):
        read_target(target, 2, 12, 16)


@each(
    [
        (Box(), "expected Class"),
        (Word(0), "expected Class"),
        ((1, 1), "got Region, expected Class"),
        ([0, Word(1)], "several kinds"),
    ]
)
def test_a_target_of_another_kind_of_model(case):
    target, text = case
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(OptionError, match=text):
        fv.explain(model, X, target=target)


@each(
    [
        torch.rand(3, 8, 8),
        torch.zeros(2, 3, 8, 8, dtype=torch.uint8),
        [torch.rand(3, 8, 8), torch.rand(3, 9, 8)],
    ]
)
def test_what_are_no_images(images):
    with pytest.raises(ShapeError, match="images"):
        fv.explain(nn.Conv2d(3, 2, 1), images)
