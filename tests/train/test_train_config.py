import dataclasses
import json
from types import SimpleNamespace

import pytest

from foveate.errors import OptionError
from foveate.recipe import usual_recipe
from foveate.train import TrainConfig


@pytest.mark.parametrize(
    "field",
    [
        {"epochs": 0},
        {"batch_size": 2.5},
        {"accumulate": 0},
        {"optimizer": "adam"},
        {"lr": 0},
        {"weight_decay": -1},
        {"warmup": 1.0},
        {"label_smoothing": -0.1},
        {"clip": 0},
        {"ema": 1.0},
        {"precision": "half"},
        {"gate_reach": -1},
        {"gate_warmup": 2},
        {"epochs": 10**9},
        {"size": 0},
        {"size": 10**6},
        {"crop": 0},
        {"max_steps": 0},
    ],
)
def test_a_value_out_of_range_is_named(field):
    ((name, value),) = field.items()
    with pytest.raises(OptionError, match=f"^{name}: got {value!r}, expected"):
        TrainConfig(**field)


def test_the_decay_of_adamw_with_the_rate_of_sgd_is_refused():
    with pytest.raises(OptionError, match=r"takes 0\.50% off every weight at every step.*weight_decay=5e-4"):
        TrainConfig(optimizer="sgd", lr=0.1)
    TrainConfig(optimizer="sgd", lr=0.1, weight_decay=5e-4)


def test_can_be_written_as_json():
    config = TrainConfig(size=32, ema=0.9)
    assert TrainConfig(**json.loads(json.dumps(dataclasses.asdict(config)))) == config


@pytest.mark.parametrize(
    "source", [None, "scenes", "scenes(size=32)", SimpleNamespace(origin={"source": "scenes"})]
)
def test_scenes_have_a_recipe_of_their_own(source):
    recipe = usual_recipe(source)
    assert (recipe.lr, recipe.batch_size, recipe.augment) == (5e-3, 32, "crop")


def test_other_data_and_tuning_have_the_usual_ones():
    assert usual_recipe("some/folder") == TrainConfig()
    assert usual_recipe(SimpleNamespace(origin={"source": None})) == TrainConfig()  # a dataset in Python
    assert (
        usual_recipe("scenes", tuned=True) == usual_recipe("some/folder", tuned=True) == TrainConfig(lr=1e-4)
    )
