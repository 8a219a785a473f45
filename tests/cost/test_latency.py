import time
from itertools import pairwise

import pytest
import torch
from torch import nn

from foveate.cost.latency import Latency, measure, rotated
from foveate.errors import OptionError


class Sleepy(nn.Module):
    def __init__(self, seconds, log, name):
        super().__init__()
        self.seconds, self.log, self.name = seconds, log, name
        self.layer = nn.Linear(2, 2)

    def forward(self, x):
        self.log.append(self.name)
        time.sleep(self.seconds)
        return self.layer(x)


def test_times_are_milliseconds_and_ordered():
    log = []
    found = measure(
        {"fast": Sleepy(0.001, log, "f"), "slow": Sleepy(0.01, log, "s")}, torch.zeros(1, 2), rounds=5
    )
    assert set(found) == {"fast", "slow"}
    for latency, least in ((found["fast"], 1), (found["slow"], 10)):
        assert isinstance(latency, Latency)
        assert least <= latency.low <= latency.median <= latency.high < least + 50
    assert found["slow"].median > found["fast"].median


def test_models_take_turns_in_rotating_order():
    log = []
    models = {n: Sleepy(0, log, n) for n in "abc"}
    measure(models, torch.zeros(1, 2), rounds=6, warmup=1)
    turns = ["".join(log[i : i + 3]) for i in range(0, len(log), 3)]
    assert turns == ["abc", "abc", "bca", "cab", "cba", "acb", "bac"]


def test_every_model_follows_every_other_equally_often():
    names = list("abcd")
    followed = [pair for turn in range(8) for pair in pairwise(rotated(names, turn))]
    neighbours = {(a, b) for a, b in pairwise(names)} | {(b, a) for a, b in pairwise(names)}
    assert {followed.count(pair) for pair in neighbours} == {3}


@pytest.mark.parametrize("training", [False, True])
def test_models_are_left_as_they_were(training):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    measure({"m": model}, torch.randn(2, 3, 8, 8), rounds=2, training=training)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not model.training and not model[1].training
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
    assert model[0].bias.grad is None


def test_one_round_has_no_spread():
    with pytest.raises(OptionError, match="at least 2"):
        measure({"m": nn.Linear(2, 2)}, torch.zeros(1, 2), rounds=1)
