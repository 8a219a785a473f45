"""Detectors: own ones on any encoder, and torchvision's by name."""

import pytest
import torch

import foveate as fv
from foveate.errors import CheckpointError, OptionError, ShapeError
from foveate.models import create_model
from foveate.models.detection.detector_names import expect_detector
from foveate.models.detection.pyramid import Pyramid
from foveate.models.weights import put_weights

OWN = ("faster_rcnn", "fcos", "retinanet")
IMAGES = [torch.rand(3, 48, 64), torch.rand(3, 40, 56)]
TARGETS = [
    {"boxes": torch.tensor([[4.0, 4, 30, 40]]), "labels": torch.tensor([1])},
    {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)},  # a picture without objects
]


@pytest.mark.parametrize("name", OWN)
def test_a_small_detector_trains_on_pictures_of_several_sizes(name):
    torch.manual_seed(0)
    model = create_model(f"{name}(encoder=resnet8)", classes=3)
    losses = model(IMAGES, TARGETS)
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert all(p.grad is not None for p in model.parameters())
    found = model.eval()(IMAGES)
    for one, image in zip(found, IMAGES, strict=True):
        height, width = image.shape[1:]
        assert (one["boxes"] >= 0).all()
        assert (one["boxes"][:, 2::2] <= width).all()
        assert (one["boxes"][:, 3::2] <= height).all()


def test_attention_in_the_backbone_changes_nothing_at_first():
    torch.manual_seed(0)
    model = create_model("fcos(encoder=resnet8)", classes=3).eval()
    aliases = {alias for site in fv.sites(model, IMAGES[:1]) for alias in site.aliases}
    assert {"blocks", "stage1", "stage2", "stage3", "features"} <= aliases
    attended = fv.insert(model, "se@blocks+non_local@stage3", example=IMAGES[:1])
    with torch.no_grad():
        plain, same = model(IMAGES), attended(IMAGES)
    for one, other in zip(plain, same, strict=True):
        assert all(torch.equal(one[part], other[part]) for part in one)
    sum(attended.train()(IMAGES, TARGETS).values()).backward()
    assert all(p.grad is not None for p in attended.parameters())


def test_pictures_are_seen_as_they_are_unless_a_size_is_asked_for():
    plain, scaled = (create_model(f"fcos(encoder=resnet8{o})", classes=3) for o in ("", ",min_size=96"))
    sizes = [model.transform([torch.rand(3, 48, 64)])[0].image_sizes for model in (plain, scaled)]
    assert sizes == [[(48, 64)], [(96, 128)]]
    long = create_model("fcos(encoder=resnet8,max_size=100)", classes=3)
    assert long.transform([torch.rand(3, 50, 200)])[0].image_sizes == [(25, 100)]


def test_a_pyramid_states_its_strides():
    for encoder, levels, strides in (("resnet8", 4, (4, 8)), ("resnet18", 4, (4, 8, 16, 32, 64))):
        body = Pyramid(encoder, levels=levels, width=32, pooled=True, pretrained=False)
        maps = body(torch.rand(1, 3, 128, 128))
        assert body.strides == strides
        assert [128 // one.shape[-1] for one in maps.values()] == list(strides)


@pytest.mark.parametrize(
    "name",
    [
        "faster_rcnn(encoder=resnet8)",
        "retinanet(encoder=resnet8)",
        pytest.param("ssdlite320_mobilenet_v3_large", marks=pytest.mark.slow),
    ],
)
def test_weights_for_other_classes_are_kept_but_for_the_head(name):
    torch.manual_seed(0)
    published, model = (create_model(name, classes=classes) for classes in (6, 4))
    left_out = put_weights(model, published.state_dict(), 4, "a file")
    own, theirs = model.state_dict(), published.state_dict()
    assert left_out
    assert all(torch.equal(own[name], theirs[name]) for name in own if name not in left_out)
    assert all(("predictor" in name) or ("classification_head" in name) for name in left_out)
    body = next(n for n in own if n.startswith("backbone") and own[n].ndim == 4)
    with pytest.raises(CheckpointError, match="another shape"):
        put_weights(model, {**own, body: torch.zeros(1)}, 4, "a file")


def test_what_is_no_detector_of_boxes_is_refused():
    for name, words in {
        "resnet18": "does not detect",
        "timm/resnet18": "does not detect",
        "unet": "does not detect",
        "maskrcnn_resnet50_fpn": "masks",
        "keypointrcnn_resnet50_fpn": "keypoints",
    }.items():
        with pytest.raises(ShapeError, match=words):
            expect_detector(name)
    for name in (*OWN, "ssd300_vgg16", "fasterrcnn_mobilenet_v3_large_320_fpn"):
        expect_detector(name)
    with pytest.raises(OptionError, match="a size of its own"):
        expect_detector("ssd300_vgg16", 512)
