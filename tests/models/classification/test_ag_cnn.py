import copy
import pickle

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from scipy import ndimage
from torch import nn
from torch.nn import functional as F
from torchvision import transforms

import foveate as fv
from foveate.errors import CheckpointError, OptionError, ShapeError
from foveate.models.classification.attended_box import (
    AttendedBox,
    cam_to_mask,
    crops,
    heat_map,
    largest_boxes,
)
from foveate.models.classification.otsu_box import OtsuBox
from tests.drawn import drawn, unset


def small(**options):
    torch.manual_seed(0)
    return fv.create_model("ag_cnn", **{"classes": 3, "backbone": "resnet8", "width": 4, **options})


@pytest.mark.slow
@pytest.mark.parametrize(
    "backbone, classes, total",
    [("resnet50", 15, 47_138_989), ("resnet50", 14, 47_130_794), ("densenet121", 14, 13_965_098)],
)
def test_published_numbers_of_parameters(backbone, classes, total):
    with torch.device("meta"):
        model = fv.create_model("ag_cnn", classes=classes, backbone=backbone)
    assert sum(p.numel() for p in model.parameters()) == total
    channels = {"resnet50": 2048, "densenet121": 1024}[backbone]
    assert model.fusion_branch.fc.weight.shape == (classes, 2 * channels)


# ---- the heat map, the mask, the box


def test_heat_is_the_papers_statistics_over_channels():
    f = torch.randn(2, 5, 3, 4, dtype=torch.float64)
    for statistic, one in {
        "max": lambda v: max(abs(c) for c in v),
        "mean": lambda v: sum(abs(c) for c in v) / 5,
        "l2": lambda v: sum(c * c for c in v) ** 0.5 / 5,
    }.items():
        found = heat_map(f, statistic)
        assert found.shape == (2, 1, 3, 4)
        for b, y, x in np.ndindex(2, 3, 4):
            assert found[b, 0, y, x].item() == pytest.approx(one(f[b, :, y, x].tolist()))


TWO_BLOBS = torch.tensor(
    [
        [0, 0, 0, 0, 0, 0, 9],
        [0, 8, 8, 0, 0, 9, 9],
        [0, 8, 9, 0, 0, 0, 0],
        [0, 0, 0, 8, 0, 0, 0],
        [0, 7, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 10],
    ],
    dtype=torch.float32,
)[None, None]


@pytest.mark.parametrize(
    "options, box",
    [
        ({}, [1, 1, 3, 3]),  # corners join; the 7 is not above 0.7 of 10
        ({"connectivity": 4}, [1, 1, 2, 2]),
        ({"threshold": 0.85}, [5, 0, 6, 1]),
        ({"threshold": 0.95}, [6, 6, 6, 6]),
        ({"threshold": 0.65}, [1, 1, 3, 3]),  # the 7 is a region of its own
    ],
)
def test_the_box_around_the_largest_of_two_blobs(options, box):
    assert AttendedBox(**options)(TWO_BLOBS, (7, 7)).tolist() == [box]


def test_of_equal_regions_the_first_in_reading_order():
    mask = torch.tensor([[[0, 0, 0, 1], [1, 0, 0, 1], [1, 0, 0, 0]]], dtype=torch.uint8)
    assert largest_boxes(mask).tolist() == [[3, 0, 3, 1]]


def flooded(mask, corners):
    """Return the box of the largest component, found by walking from pixel to pixel."""
    height, width = mask.shape
    best, seen = [], set()
    steps = [(0, 1), (1, 0), (0, -1), (-1, 0)] + [(1, 1), (1, -1), (-1, 1), (-1, -1)] * corners
    for start in np.ndindex(height, width):
        if not mask[start] or start in seen:
            continue
        seen.add(start)
        found, left = [], [start]
        while left:
            y, x = left.pop()
            found.append((y, x))
            for dy, dx in steps:
                to = (y + dy, x + dx)
                if 0 <= to[0] < height and 0 <= to[1] < width and mask[to] and to not in seen:
                    seen.add(to)
                    left.append(to)
        best = found if len(found) > len(best) else best
    if not best:
        return [0, 0, width - 1, height - 1]
    rows, columns = zip(*best, strict=True)
    return [min(columns), min(rows), max(columns), max(rows)]


@pytest.mark.parametrize("connectivity", [4, 8])
def test_boxes_are_those_of_a_walk_over_the_pixels(connectivity):
    rng = np.random.default_rng(0)
    for density in (0.0, 0.2, 0.45, 0.6, 1.0):
        masks = (rng.random((20, 9, 12)) < density).astype(np.uint8)
        found = largest_boxes(torch.from_numpy(masks), connectivity).tolist()
        assert found == [flooded(mask, connectivity == 8) for mask in masks]


def test_a_higher_threshold_never_looks_at_more_of_a_map_with_one_peak():
    y, x = torch.meshgrid(torch.arange(7.0), torch.arange(7.0), indexing="ij")
    heat = torch.exp(-((y - 2) ** 2 + (x - 4) ** 2) / 8)[None, None]
    boxes = [AttendedBox(threshold=t / 20)(heat, (56, 70))[0].tolist() for t in range(20)]
    areas = [(right - left + 1) * (bottom - top + 1) for left, top, right, bottom in boxes]
    assert areas == sorted(areas, reverse=True) and len(set(areas)) > 10


@pytest.mark.parametrize("value", [0.0, 3.0, -2.0, float("nan")])
@pytest.mark.parametrize("scaling", ["range", "max"])
def test_a_map_that_points_nowhere_is_the_whole_image(value, scaling):
    heat = torch.full((1, 1, 7, 7), value)
    assert AttendedBox(scaling=scaling)(heat, (20, 31)).tolist() == [[0, 0, 30, 19]]


def test_what_the_threshold_is_a_share_of():
    heat = torch.tensor([[[[5.0, 7.4, 9.0, 10.0]]]])
    assert cam_to_mask(heat, 0.7).tolist() == [[[0, 0, 1, 1]]]
    assert cam_to_mask(heat, 0.7, scaling="max").tolist() == [[[0, 1, 1, 1]]]
    assert cam_to_mask(-heat, 0.7, scaling="max").sum() == 0  # nothing is above 0
    enlarged = nn.functional.interpolate(heat, size=(3, 9), mode="bilinear")[0, 0]
    scaled = (enlarged - enlarged.min()) / (enlarged.max() - enlarged.min())
    assert torch.equal(cam_to_mask(heat, 0.7, size=(3, 9))[0].bool(), scaled > 0.7)


def test_what_is_in_the_box_at_the_size_of_the_image():
    images = torch.rand(2, 3, 9, 8)
    found = crops(images, torch.tensor([[2, 1, 5, 4], [0, 0, 7, 8]]))
    expected = nn.functional.interpolate(images[:1, :, 1:5, 2:6], size=(9, 8), mode="bilinear")
    torch.testing.assert_close(found[:1], expected)
    assert torch.equal(found[1], images[1])


@pytest.mark.parametrize(
    "options", [{"threshold": 1.0}, {"threshold": -0.1}, {"connectivity": 6}, {"scaling": "sum"}]
)
def test_impossible_options_are_told(options):
    with pytest.raises(OptionError, match=next(iter(options))):
        small(**options)


def test_a_heat_map_with_channels_is_refused():
    with pytest.raises(ShapeError, match="heat"):
        cam_to_mask(torch.rand(2, 3, 7, 7))


# ---- the network


def test_the_branches_written_out():
    model = drawn(small(statistic="mean", threshold=0.5, pool="max"))
    x = torch.rand(2, 3, 40, 33)
    with torch.no_grad(), fv.record(model) as maps:
        found, logits = model.branches(x), model(x)
        f = model.global_branch.encoder(x)[-1]
        heat = f.abs().mean(1, keepdim=True)
        box = AttendedBox(threshold=0.5)(heat, (40, 33))
        g = model.local_branch.encoder(crops(x, box))[-1]
        pooled = torch.cat([f.amax((2, 3)), g.amax((2, 3))], dim=1)
        fc = model.fusion_branch.fc
        torch.testing.assert_close(found["fusion"], pooled @ fc.weight.T + fc.bias)
        torch.testing.assert_close(found["global"], model.global_branch.scores(f.amax((2, 3))))
        torch.testing.assert_close(found["local"], model.local_branch.scores(g.amax((2, 3))))
    assert torch.equal(logits, found["fusion"])
    assert (box != torch.tensor([0, 0, 32, 39])).any()
    torch.testing.assert_close(maps["attended.heat"], heat)
    assert torch.equal(maps["attended.box"], box)


@pytest.mark.parametrize("size", [(8, 8), (65, 47), (1, 30)])
def test_images_of_any_size_and_channels_that_do_not_depend_on_the_rest_of_the_batch(size):
    model = drawn(small(in_channels=2))
    x = torch.rand(3, 2, *size)
    with torch.no_grad():
        together = model(x)
        assert together.shape == (3, 3)
        torch.testing.assert_close(together[1:2], model(x[1:2]), atol=1e-5, rtol=1e-4)


def test_while_training_all_three_answer_even_for_one_image():
    model = fv.create_model("ag_cnn", classes=3, backbone="resnet18").train()
    found = model(torch.rand(1, 3, 20, 20))  # a map of one position
    assert list(found) == ["out", "global", "local"]
    sum(logits.square().sum() for logits in found.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_no_gradient_goes_through_the_box():
    model = small()
    model(torch.rand(2, 3, 24, 24))["local"].sum().backward()
    assert all(p.grad is None for p in model.global_branch.parameters())
    assert all(p.grad is None for p in model.fusion_branch.parameters())


def test_copies_and_states_are_the_same_network():
    model, x = drawn(small()), torch.rand(1, 3, 17, 33)
    other = drawn(small(), seed=1)
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), other):
            assert torch.equal(copied(x), model(x))


@pytest.mark.parametrize(
    "backbone",
    ["timm/resnet10t", *(pytest.param(b, marks=pytest.mark.nightly) for b in ("mobilenet_v2", "sknet26"))],
)
def test_other_backbones(backbone):
    with torch.device("meta"):
        model = fv.create_model("ag_cnn", classes=2, backbone=backbone).eval()
        assert model.global_branch(torch.zeros(1, 3, 64, 64)).logits.shape == (1, 2)


def test_images_that_do_not_fit_are_told():
    for x in (torch.rand(2, 1, 8, 8), torch.rand(3, 8, 8), torch.zeros(2, 3, 8, 8, dtype=torch.uint8)):
        with pytest.raises(ShapeError, match="in_channels"):
            small()(x)


# ---- published files: one a branch


class Published(nn.Module):
    """A branch of the public code: torchvision's DenseNet with the sigmoid inside."""

    def __init__(self):
        super().__init__()
        net = torchvision.models.densenet121(num_classes=14)
        self.features, self.classifier = net.features, net.classifier

    def forward(self, x):
        pooled = self.features(x).relu().mean((2, 3))
        return self.classifier(pooled).sigmoid(), pooled


@pytest.mark.slow
def test_the_three_published_files_give_the_published_probabilities(tmp_path):
    parts = {"global": drawn(unset(Published), 1), "local": drawn(unset(Published), 2)}
    fc = drawn(nn.Linear(2048, 14), 3)
    model = unset(fv.create_model, "ag_cnn", classes=14, backbone="densenet121").eval()
    for name, part in parts.items():
        path = tmp_path / f"{name}.pth"
        torch.save({"state_dict": {f"module.{key}": v for key, v in part.state_dict().items()}}, path)
        assert fv.load_published(getattr(model, f"{name}_branch"), path) == ()
    torch.save({f"fc.{key}": value for key, value in fc.state_dict().items()}, tmp_path / "fusion.pth")
    fv.load_published(model.fusion_branch, tmp_path / "fusion.pth")
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        p, first = parts["global"](x)
        q, second = parts["local"](
            crops(x, model.attended(heat_map(model.global_branch(x).features), (64, 64)))
        )
        found = {name: logits.sigmoid() for name, logits in model.branches(x).items()}
        torch.testing.assert_close(found["global"], p)
        torch.testing.assert_close(found["local"], q)
        torch.testing.assert_close(found["fusion"], fc(torch.cat([first, second], dim=1)).sigmoid())


def published_look(image, features):
    """What the public code shows its second branch: OpenCV's and scikit-image's steps written out."""
    height, width = image.shape[1:]
    cam = features.sum(0)
    cam = ((cam - cam.min()) / (cam - cam.min()).max() * 255).to(torch.uint8)
    grey = F.interpolate(cam[None, None].float(), (height, width), mode="bilinear")[0, 0].round()
    pixels, best, threshold = grey.flatten(), -1.0, 0
    for level in range(256):  # Otsu: the first of the levels that part the pixels best
        low, high = pixels[pixels <= level], pixels[pixels > level]
        between = len(low) * len(high) * float(low.double().mean() - high.double().mean()) ** 2
        if len(low) and len(high) and between > best * (1 + 1e-9):
            best, threshold = between, level
    parts, count = ndimage.label((grey > threshold).numpy(), np.ones((3, 3)))
    sizes = [(parts == n).sum() for n in range(1, count + 1)]
    rows, columns = np.where(parts == 1 + int(np.argmax(sizes)))
    scrambled = image.reshape(height, width, 3)  # a CHW array read as HWC
    middle = scrambled[int(height * 0.334) : int(height * 0.667), int(width * 0.334) : int(width * 0.667)]
    large = F.interpolate(middle.permute(2, 0, 1)[None], (height, width), mode="bilinear")[0].permute(1, 2, 0)
    cut = large[rows.min() : rows.max(), columns.min() : columns.max()].numpy() * 256
    wrapped = (np.trunc(cut).astype(np.int64) % 256).astype(np.uint8)
    side = round(height * 256 / 224), round(width * 256 / 224)
    picture = transforms.functional.resize(Image.fromarray(wrapped), side)
    picture = transforms.functional.center_crop(picture, (height, width))
    shown = torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255
    return transforms.functional.normalize(shown, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_with_the_published_crop_the_second_branch_sees_what_the_public_code_shows_it():
    model = fv.create_model("ag_cnn", classes=3, backbone="resnet18", crop="ien001").eval()
    x = F.interpolate(torch.randn(2, 3, 9, 7, generator=torch.Generator().manual_seed(5)), (112, 56))
    features = torch.rand(2, 8, 7, 7, generator=torch.Generator().manual_seed(6)) ** 4
    expected = torch.stack([published_look(*pair) for pair in zip(x, features, strict=True)])
    torch.testing.assert_close(model._region(x, features), expected, rtol=0, atol=1e-6)
    with fv.record(model) as maps:
        assert model(x).shape == (2, 3)
    assert any(name.endswith("box") for name in maps)


def test_the_published_crop_looks_at_all_of_a_map_that_points_nowhere():
    box = OtsuBox()(torch.ones(2, 1, 7, 7), (14, 21))
    assert box.tolist() == [[0, 0, 20, 13]] * 2
    assert OtsuBox()(torch.ones(0, 1, 7, 7), (14, 21)).shape == (0, 4)


@pytest.mark.parametrize("options", [{"threshold": 0.5}, {"statistic": "l2"}, {"in_channels": 1}])
def test_the_published_crop_has_no_options(options):
    with pytest.raises(OptionError, match="crop"):
        fv.create_model("ag_cnn", classes=3, backbone="resnet18", crop="ien001", **options)


@pytest.mark.slow
def test_old_names_of_dense_layers_are_known():
    with torch.device("meta"):
        branch = fv.create_model("ag_cnn", classes=14, backbone="densenet121").global_branch
        state = torchvision.models.densenet121(num_classes=14).state_dict()
    old = {name.replace(".norm1.", ".norm.1.").replace(".conv2.", ".conv.2."): v for name, v in state.items()}
    assert set(branch.from_published(old)) == set(branch.state_dict())


def test_a_branch_for_the_whole_is_told(tmp_path):
    torch.save(drawn(unset(fv.create_model, "resnet18", classes=3)).state_dict(), tmp_path / "one.pth")
    with pytest.raises(CheckpointError, match="global_branch"):
        fv.load_published(
            unset(fv.create_model, "ag_cnn", classes=3, backbone="resnet18"), tmp_path / "one.pth"
        )
