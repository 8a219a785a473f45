import base64
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from foveate.data.cached_split import CachedSplit
from foveate.explain.drawing.blend import blended
from foveate.explain.explain import explain
from foveate.insert.surgery import insert
from foveate.tasks.cards.attention_maps import MAPS, site_maps
from foveate.tasks.cards.evidence import evidence
from foveate.tasks.cards.labelled_pictures import choose, pictures
from foveate.tasks.cards.overlay import COLOURS, SIDE, data_uri, layer, outline, overlay, shown

SIZE, CLASSES = 24, ("cat", "dog", "<b>bird</b>")
HALF = (0.5, 0.5, 0.5)


def network():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        *(nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()) for _ in range(5)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 3),
    )


@pytest.fixture
def models():
    torch.manual_seed(0)
    plain, example = network(), torch.rand(1, 3, SIZE, SIZE)
    return {
        "baseline": plain,
        "se": insert(plain, "se@[1-5]", example=example),
        "spatial": insert(plain, "spatial@2+dual@4", example=example),
    }


@pytest.fixture
def split():
    images = np.random.default_rng(0).integers(0, 256, (40, 3, SIZE, SIZE), dtype=np.uint8)
    return CachedSplit(images, np.arange(40) % 3, tuple(f"item {n}" for n in range(40)))


def sure(answers):
    return np.eye(3)[np.asarray(answers)] * 0.94 + 0.02


def picture(uri):
    assert uri.startswith("data:image/png;base64,")
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_items_that_divide_the_variants_come_first():
    predictions = {"a": sure([0, 0, 0, 0, 0]), "b": sure([0, 1, 0, 1, 0]), "c": sure([0, 1, 0, 2, 0])}
    predictions["a"][2] = predictions["b"][2] = predictions["c"][2] = [0.4, 0.3, 0.3]  # agreed, but unsure
    items, disagreement = choose(predictions, 4)
    assert items[:3].tolist() == [3, 1, 2] and len(items) == 4
    np.testing.assert_allclose(disagreement, [0, 2 / 3, 0, 1, 0])


def test_one_variant_alone_shows_its_uncertain_items():
    guess = sure([0, 1, 2])
    guess[1] = 1 / 3
    items, disagreement = choose({"only": guess}, 2)
    assert items[0] == 1 and disagreement.tolist() == [0, 0, 0]


def test_pictures_follow_the_schema(models, split):
    guesses = {name: np.random.default_rng(1).dirichlet(np.ones(3), 40) for name in models}
    made = pictures(
        models,
        split,
        classes=CLASSES,
        predictions=guesses,
        targets=split.targets,
        mean=HALF,
        std=HALF,
        count=5,
    )
    assert json.loads(json.dumps(made)) == made and len(made) == 5
    assert [p["disagreement"] for p in made] == sorted((p["disagreement"] for p in made), reverse=True)
    for shown_ in made:
        number = int(shown_["item"].removeprefix("item "))
        assert shown_["target"] == CLASSES[number % 3] and picture(shown_["image"]).size == (240, 240)
        for answer in shown_["variants"]:
            best = guesses[answer["name"]][number].argmax()
            assert answer["prediction"] == CLASSES[best] and answer["right"] == (best == number % 3)
            assert answer["confidence"] == pytest.approx(guesses[answer["name"]][number].max())
            assert answer["true_share"] == pytest.approx(guesses[answer["name"]][number][number % 3])
    maps = {answer["name"]: answer["maps"] for answer in made[0]["variants"]}
    found = {name: [(m["site"], m["kind"]) for m in of] for name, of in maps.items()}
    assert found["baseline"] == []
    assert found["se"] == [("1", "effect"), ("3", "effect"), ("5", "effect")]
    assert found["spatial"] == [("2", "weights"), ("4", "weights")]
    assert picture(maps["se"][0]["layer"]).size == (96, 96)


def test_every_variant_has_a_map_of_the_evidence_for_the_true_class(models, split):
    guess = {name: sure(split.targets) for name in models}
    options = {"classes": CLASSES, "targets": split.targets, "mean": HALF, "std": HALF}
    made = pictures(models, split, predictions=guess, count=2, evidence=evidence, **options)
    first = {answer["name"]: answer["maps"][0] for card in made for answer in card["variants"]}
    assert {(m["site"], m["kind"]) for m in first.values()} == {("grad_cam", "evidence")} and len(first) == 3
    for truth in range(3):
        batch, target = torch.rand(2, 3, SIZE, SIZE), torch.full((2,), truth)
        ((_, _, found),) = evidence(models["baseline"], batch, target)
        np.testing.assert_allclose(found, explain(models["baseline"], batch, "grad_cam", target).numpy())
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 3))
    assert evidence(flat, batch, None) == []  # no layer has a map


def test_models_are_left_as_they_were(models, split):
    guess = {name: sure(split.targets) for name in models}
    models["se"].train()
    before = {name: value.clone() for name, value in models["se"].state_dict().items()}
    options = {"classes": CLASSES, "predictions": guess, "targets": split.targets, "mean": HALF, "std": HALF}
    first = pictures(models, split, count=2, **options)
    assert models["se"].training
    assert all(torch.equal(value, before[name]) for name, value in models["se"].state_dict().items())
    assert pictures(models, split, count=2, **options) == first


def test_the_maps_are_those_of_the_normalised_image(models, split):
    model = models["spatial"].eval()
    seen = []
    model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    guess = {"spatial": sure(split.targets)}
    options = {"classes": CLASSES, "predictions": guess, "targets": split.targets}
    made = pictures({"spatial": model}, split, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7), count=3, **options)
    number = int(made[0]["item"].removeprefix("item "))
    expected = (split.images[number, 1, 5, 7] / 255 - 0.2) / 0.6
    assert seen[0].shape == (3, 3, SIZE, SIZE)
    assert all(batch[0, 1, 5, 7].item() == pytest.approx(expected, abs=1e-6) for batch in seen)


def test_at_most_three_sites_are_shown(models):
    maps = site_maps(models["se"], torch.rand(2, 3, SIZE, SIZE))
    assert len(maps) == MAPS and all(values.shape == (2, SIZE, SIZE) for _, _, values in maps)


def test_the_answer_is_outlined_where_it_is(models, split):
    mask = np.zeros((SIZE, 2 * SIZE), bool)  # wider than high: the cache keeps its middle
    mask[6:12, 18:24] = True
    options = {"classes": CLASSES, "targets": split.targets, "mean": HALF, "std": HALF}
    guess = {"baseline": sure(split.targets)}
    made = pictures(
        {"baseline": network()}, split, predictions=guess, count=1, look=lambda _: mask, **options
    )
    drawn = np.asarray(picture(made[0]["truth"]))
    rows, columns = np.nonzero((drawn == 255).all(axis=2))
    scale = 240 // SIZE
    assert (rows.min(), rows.max() + 1) == (6 * scale, 12 * scale)
    assert (columns.min(), columns.max() + 1) == (6 * scale, 12 * scale)


def test_nothing_to_show():
    split = CachedSplit(np.empty((0, 3, 8, 8), np.uint8), np.empty(0, np.int64), ())
    options = {"classes": CLASSES, "targets": split.targets, "mean": HALF, "std": HALF}
    assert pictures({"m": network()}, split, predictions={"m": np.empty((0, 3))}, **options) == []
    assert pictures({}, split, predictions={}, **options) == []


@pytest.mark.parametrize("signed", [False, True])
def test_a_layer_over_the_grey_image_is_the_overlay(signed):
    """What the browser blends from two pictures equals what is blended here, up to the palette's steps."""
    image = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    weights = np.random.default_rng(1).random((6, 6)) - 0.5 * signed
    above = np.asarray(picture(data_uri(layer(weights))).convert("RGBA")).astype(float)
    share = above[..., 3:] / 255
    grey = (image @ np.array([0.299, 0.587, 0.114]))[..., None]
    np.testing.assert_allclose((1 - share) * grey + share * above[..., :3], blended(image, weights), atol=6)
    assert len(np.unique(above.reshape(-1, 4), axis=0)) <= COLOURS


def test_a_photo_is_kept_as_jpeg_and_a_drawing_to_the_bit():
    photo = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    assert data_uri(shown(photo)).startswith("data:image/jpeg;base64,")
    drawing = np.kron(photo[:8, :8], np.ones((40, 40, 1), np.uint8))
    assert (np.asarray(picture(data_uri(shown(drawing)))) == drawing).all()


def test_the_bright_place_is_where_the_weight_is():
    image = np.full((32, 32, 3), 90, np.uint8)
    weights = np.zeros((4, 4))
    weights[1, 2] = 7.0
    light = np.asarray(overlay(image, weights).convert("L"))
    row, column = np.unravel_index(light.argmax(), light.shape)
    assert (row // 56, column // 56) == (1, 2)


@pytest.mark.parametrize("value", [0.0, 0.5, -3e8])
def test_a_map_that_is_the_same_everywhere_is_dark(value):
    drawn = np.asarray(overlay(np.full((32, 32, 3), 200, np.uint8), np.full((4, 4), value)).convert("L"))
    assert np.ptp(drawn) == 0 and drawn.max() < 200


@pytest.mark.parametrize(
    ("size", "expected"), [(8, 224), (32, 224), (48, 240), (60, 240), (96, 288), (224, 224), (500, 320)]
)
def test_small_images_keep_their_pixels_and_large_ones_shrink(size, expected):
    image = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    large = np.asarray(shown(image))
    assert large.shape == (expected, expected, 3)
    if size < SIDE:
        assert (large[:: expected // size, :: expected // size] == image).all()


def test_an_outline_leaves_the_inside_free():
    mask = np.zeros((10, 10), bool)
    mask[2:8, 2:8] = True
    alpha = np.asarray(picture(data_uri(outline(mask, (100, 100)))))[..., 3]
    assert alpha[50, 50] == 0 and alpha[20, 50] == 255 and alpha[19, 50] == 150 and alpha[5, 5] == 0
