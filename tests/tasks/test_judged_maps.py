"""The judged maps of a report: which pictures are judged, and that the scores are those of ``fv.judge``."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import foveate as fv
from foveate.compare.assemble import PASSES_A_STEP, SHARE_OF_MAPS, _passes
from foveate.tasks.classification import Classification
from foveate.tasks.judged_maps import LEAST, MOST, PASSES, STEPS, chosen

CLASSES, ITEMS, SIDE = 2, 20, 16
PLENTY = 10**6


class Corner(nn.Module):
    """Says class 1 of pictures with a bright corner: the truth of where to look is known."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 2, 4, stride=4, bias=False)
        nn.init.constant_(self.features.weight[0], -0.1)
        nn.init.constant_(self.features.weight[1], 0.1)

    def forward(self, x):
        return self.features(x).relu().mean(dim=(2, 3))


@pytest.fixture
def scene():
    """Wide masks over square pictures, as data that is cut to squares has them."""
    images = np.full((ITEMS, 3, SIDE, SIDE), 120, dtype=np.uint8)
    images[:, :, :4, :4] = 255
    images += np.random.default_rng(0).integers(0, 8, images.shape, dtype=np.uint8) * (images < 255)
    mask = np.zeros((SIDE, SIDE + 8), dtype=bool)
    mask[:4, 4:8] = True  # the corner of the middle square
    split = SimpleNamespace(images=images, targets=np.ones(ITEMS, np.int64))
    return SimpleNamespace(split=split, look=lambda item: mask)


@pytest.fixture
def task():
    made = Classification(("dark", "bright"))
    made.inputs = {
        **made.inputs,
        "size": (SIDE, SIDE),
        "normalisation": {"mean": (0.5,) * 3, "std": (0.5,) * 3},
    }
    return made


RIGHT = np.tile([0.1, 0.9], (ITEMS, 1))


def test_pictures_that_all_get_right_are_judged_evenly_spread_and_no_more_than_allowed():
    first, second = np.arange(200) % 2 == 0, np.arange(200) % 3 == 0
    found = chosen([first, second], PLENTY)
    assert (found % 6 == 0).all() and len(found) == 34 and found[0] == 0 and found[-1] == 198
    assert len(chosen([np.ones(500, bool)], PLENTY)) == MOST
    assert len(chosen([np.ones(500, bool)], 20 * PASSES)) == 20
    assert len(chosen([np.ones(500, bool)], LEAST * PASSES - 1)) == 0
    assert len(chosen([first, ~first], PLENTY)) == 0


def test_the_cost_is_a_share_of_the_trainings():
    records = {("a", 0): {"images": 3000}, ("b", 0): {"images": 5000}, ("look", 1): {"going": []}}
    assert _passes(records, 2) == int(SHARE_OF_MAPS * PASSES_A_STEP * 4000)


def test_no_more_passes_than_stated(scene, task):
    counted = 0

    class Counting(Corner):
        def forward(self, x):
            nonlocal counted
            counted += len(x)
            return super().forward(x)

    found = task.judged_maps({"a": Counting()}, scene, {"a": RIGHT}, 10 * PASSES)
    assert found["pictures"] == 10
    assert 0.9 * 10 * PASSES < counted <= 10 * PASSES + 2  # two more to see how the model takes pictures


def test_the_scores_are_those_of_judge(scene, task):
    model = Corner().eval()
    found = task.judged_maps({"a": model}, scene, {"a": RIGHT}, PLENTY)
    images = (torch.from_numpy(scene.split.images).float() / 255 - 0.5) / 0.5
    masks = torch.zeros(ITEMS, SIDE, SIDE, dtype=torch.bool)
    masks[:, :4, :4] = True
    texts = (f"deletion(steps={STEPS})", f"insertion(steps={STEPS})", "pointing", "energy")
    expected = fv.judge(
        model, images, "grad_cam", texts, masks, 1, baselines=("smooth_random", "centre"), labels=[1] * ITEMS
    )
    assert [metric["name"] for metric in found["metrics"]] == ["deletion", "insertion", "pointing", "energy"]
    assert [row["map"] for row in found["maps"]] == ["grad_cam", "smooth_random", "centre"]
    for row in found["maps"]:
        for text, score in zip(texts, row["scores"], strict=True):
            theirs = expected[text, row["map"]]
            assert score == pytest.approx({"mean": theirs.mean, "low": theirs.low, "high": theirs.high})
    assert [one["words"] for one in found["comparisons"]] == [str(one) for one in expected.comparisons]
    by = {(one["metric"], one["than"]): one["answer"] for one in found["comparisons"]}
    assert by["pointing", "centre"] == by["energy", "centre"] == "yes"  # the planted truth


def test_a_model_without_a_map_is_left_out_and_wrong_pictures_too(scene, task):
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, CLASSES))
    wrong = RIGHT.copy()
    wrong[:5] = wrong[:5, ::-1]
    found = task.judged_maps({"a": Corner(), "b": flat}, scene, {"a": RIGHT, "b": wrong}, PLENTY)
    assert {row["variant"] for row in found["maps"]} == {"a"} and found["pictures"] == ITEMS - 5
    assert task.judged_maps({"b": flat}, scene, {"b": RIGHT}, PLENTY) is None
