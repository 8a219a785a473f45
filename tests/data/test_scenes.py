import jaxtyping
import numpy as np
import pytest
from scipy.stats import chi2_contingency
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from foveate.data.scenes.open_scenes import scene_boxes, scene_images, scene_layout, scenes
from foveate.data.scenes.scene_layout import SceneOptions
from foveate.data.scenes.scene_paint import MARK, digit_samples
from foveate.errors import OptionError

OPTIONS = SceneOptions()
CHANCE = 0.1


def test_scenes_have_the_sizes_asked_for():
    data = scenes(train=30, val=10, test=20, size=40, classes=5)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 30, "val": 10, "test": 20}
    assert data.classes == ("0", "1", "2", "3", "4")
    image = data.splits["val"].load(3)
    assert image.shape == (40, 40, 3) and image.dtype == np.uint8


def test_no_val_if_none_is_asked_for():
    assert set(scenes(train=10, val=0, test=10).splits) == {"train", "test"}


def test_an_item_depends_on_its_number_alone():
    few, many = scenes(train=20, val=0, test=10), scenes(train=700, val=5, test=10)
    np.testing.assert_array_equal(few.splits["train"].load(13), many.splits["train"].many(0, 700)[13])
    np.testing.assert_array_equal(few.splits["train"].targets, many.splits["train"].targets[:20])


def test_seeds_and_splits_show_different_scenes():
    one, other = scenes(seed=1), scenes(seed=2)
    assert (one.splits["train"].load(0) != other.splits["train"].load(0)).mean() > 0.5
    assert (one.splits["train"].load(0) != one.splits["test"].load(0)).mean() > 0.5
    assert one.fingerprint != other.fingerprint
    assert one.fingerprint == scenes(seed=1).fingerprint


@pytest.mark.parametrize("classes", [2, 7, 10])
def test_labels_are_balanced_in_any_whole_number_of_rounds(classes):
    targets = scenes(train=classes * 13, val=0, test=classes, classes=classes).splits["train"].targets
    assert np.bincount(targets).tolist() == [13] * classes


@pytest.mark.parametrize("size, distractors", [(24, 3), (32, 3), (48, 8), (33, 0), (96, 5)])
def test_boxes_hold_the_mark_and_never_overlap(size, distractors):
    options = SceneOptions(size=size, distractors=distractors)
    plan = scene_layout(options, "train", 0, 200)
    covered = np.zeros((200, size, size), dtype=int)
    for item in range(200):
        for top, left in zip(plan.tops[item], plan.lefts[item], strict=True):
            covered[item, top : top + options.box, left : left + options.box] += 1
    assert covered.max() == 1
    assert covered.sum() == 200 * options.digits * options.box**2


def test_the_mask_shows_where_the_mark_is():
    split = scenes(train=40, val=0, test=10).splits["train"]
    for item in range(40):
        mask, image = split.look(item), split.load(item).astype(int)
        near = np.abs(image - np.array(MARK)).max(axis=2) < 30
        assert near[mask].sum() >= 20  # the whole rim
        assert near[~mask].sum() <= 4  # at most a pixel of clutter that happens to be as red
        top, left, bottom, right = scene_boxes(OPTIONS, "train", item, 1)[0]
        rows, columns = np.nonzero(mask)
        assert (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1) == (top, left, bottom, right)


def test_no_handwritten_sample_is_in_two_splits():
    whole = {image.tobytes() for image in (load_digits().images / 16).astype(np.float32)}
    parts = [{image.tobytes() for image in digit_samples(split)[0]} for split in range(3)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == len(whole)
    for split in range(3):
        assert np.bincount(digit_samples(split)[1]).min() > 30


@pytest.fixture(scope="module")
def plan():
    return scene_layout(OPTIONS, "train", 0, 20_000)


def test_layout_is_independent_of_the_label(plan):
    columns = {
        "cell": plan.tops[:, 0] // OPTIONS.cell * OPTIONS.grid + plan.lefts[:, 0] // OPTIONS.cell,
        "count of marks": (plan.marks >= 0).sum(axis=1),
        "first distractor": plan.digits[:, 1],
        "digit shown anywhere else": (plan.digits[:, 1:] == 3).sum(axis=1),
    }
    for what, column in columns.items():
        table = np.zeros((10, column.max() + 1))
        np.add.at(table, (plan.labels, column), 1)
        assert chi2_contingency(table[:, table.sum(axis=0) > 0]).pvalue > 0.001, what


def test_position_within_the_image_is_spread_evenly(plan):
    counts = np.bincount(plan.tops[:, 0] // OPTIONS.cell * 2 + plan.lefts[:, 0] // OPTIONS.cell)
    assert counts.min() > 0.95 * 5000


def _statistics(images):
    flat = images.reshape(len(images), -1, 3).astype(np.float32)
    redness = flat[..., 0] - flat[..., 1:].max(axis=-1)
    red = np.stack([(redness > level).mean(axis=1) for level in (40, 80, 120)], axis=1)
    quantiles = np.percentile(flat, [5, 25, 50, 75, 95], axis=1).transpose(1, 0, 2).reshape(len(flat), -1)
    return np.concatenate([flat.mean(axis=1), flat.std(axis=1), quantiles, red], axis=1)


@pytest.mark.slow
def test_colours_and_contrast_of_the_whole_tell_nothing():
    train, test = (_statistics(scene_images(OPTIONS, split, 0, 3000)) for split in ("train", "test"))
    labels, truth = (scene_layout(OPTIONS, split, 0, 3000).labels for split in ("train", "test"))
    for model in (LogisticRegression(max_iter=1000), KNeighborsClassifier(15)):
        score = make_pipeline(StandardScaler(), model).fit(train, labels).score(test, truth)
        assert score < CHANCE + 4 * np.sqrt(CHANCE * (1 - CHANCE) / 3000)


def _crops(split, count):
    images, boxes = scene_images(OPTIONS, split, 0, count), scene_boxes(OPTIONS, split, 0, count)
    grey = [image[t:b, le:r].mean(axis=-1) for image, (t, le, b, r) in zip(images, boxes, strict=True)]
    return np.stack(grey).reshape(count, -1)


def test_who_looks_at_the_mark_can_read_it_and_shuffled_labels_give_chance():
    reader = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300, C=0.1))
    train, test = _crops("train", 3000), _crops("test", 2000)
    labels, truth = (scene_layout(OPTIONS, s, 0, n).labels for s, n in (("train", 3000), ("test", 2000)))
    assert reader.fit(train, labels).score(test, truth) > 0.85
    shuffled = np.random.default_rng(0).permutation(labels)[:1000]
    assert reader.fit(train[:1000], shuffled).score(test, truth) < CHANCE + 4 * np.sqrt(0.09 / 2000)


@pytest.mark.parametrize(
    "options, word",
    [
        ({"classes": 11}, "classes=11"),
        ({"size": 20}, "size=20"),
        ({"size": 32, "distractors": 15}, "size=32"),
        ({"train": 0}, "train=0"),
        ({"train": 1.5}, "train=1.5"),
        ({"seed": -1}, "seed=-1"),
        ({"colour": 3}, "colour"),
    ],
)
def test_impossible_options_are_told(options, word, monkeypatch):
    monkeypatch.setattr(
        jaxtyping.config, "jaxtyping_disable", True
    )  # should the run have it on, it answers first
    with pytest.raises(OptionError, match=word):
        scenes(**options)
