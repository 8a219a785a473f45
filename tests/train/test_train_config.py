import dataclasses
import json
from types import SimpleNamespace

import pytest

from foveate.errors import OptionError
from foveate.recipe import TrainConfig
from foveate.tasks import tasks


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
        {"epochs": True},
        {"lr": float("inf")},
        {"clip": float("inf")},
        {"seed": float("nan")},
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


def of(source):
    """Data as far as a recipe looks at it; a dataset in Python has no source."""
    return SimpleNamespace(origin={"source": source})


@pytest.mark.parametrize("task", ["classification", "diagnosis", "segmentation"])
def test_every_task_has_a_recipe_of_its_own_and_those_on_labels_one_for_scenes(task):
    usual = tasks[task].usual_recipe
    own = TrainConfig(batch_size=8, augment="resized_crop") if task == "segmentation" else TrainConfig()
    drawn = own if task == "segmentation" else TrainConfig(lr=5e-3, batch_size=32, augment="crop")
    assert usual(of("some/folder")) == usual(of(None)) == own
    assert usual(None) == usual(of("scenes")) == usual(of("scenes(size=32)")) == drawn
    tuned = dataclasses.replace(own, lr=1e-4)
    assert usual(of("scenes"), tuned=True) == usual(of("some/folder"), tuned=True) == tuned
