"""Gates that are trained at the weights' rate stay closed: the optimizer's first step says so, once."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import nn

import foveate as fv
from foveate.insert.inserted_parts import openings

X = torch.rand(2, 3, 16, 16)


@pytest.fixture
def attended() -> nn.Module:
    torch.manual_seed(0)
    return fv.insert(fv.create_model("resnet8", classes=3, width=4), "se@blocks+position@stage3", example=X)


def steps(model: nn.Module, optimizer: torch.optim.Optimizer, count: int = 2) -> None:
    for _ in range(count):
        model(X).sum().backward()
        optimizer.step()


@pytest.mark.parametrize("kept", [lambda m: m, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_mixed_group_is_told_once(attended: nn.Module, kept: Callable[[nn.Module], nn.Module]) -> None:
    model = kept(attended)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    with pytest.warns(
        UserWarning, match=r"4 gates .* rate of the weights, 0\.001.*fv\.parameter_groups"
    ) as told:
        steps(model, optimizer, 3)
    assert len(told) == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda m: torch.optim.AdamW(fv.parameter_groups(m, lr=1e-3, steps=10)),
        lambda m: torch.optim.SGD(m.parameters(), lr=1e-3),
        lambda m: torch.optim.Adam(fv.remove(m).parameters(), lr=1e-3),
    ],
)
def test_others_are_not(attended: nn.Module, make: Callable[[nn.Module], torch.optim.Optimizer]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        steps(attended, make(attended))


def test_the_groups_open_the_gates_and_the_weights_rate_does_not(attended: nn.Module) -> None:
    slow = copy.deepcopy(attended)
    with pytest.warns(UserWarning, match="gates"):
        steps(slow, torch.optim.AdamW(slow.parameters(), lr=1e-3), 8)
    steps(attended, torch.optim.AdamW(fv.parameter_groups(attended, lr=1e-3, steps=8)), 8)
    far = [max(map(abs, openings(model).values())) for model in (slow, attended)]
    assert far[0] < 0.02 and far[1] > 0.5


class Relative(torch.optim.Optimizer):
    """Finds the length of its steps itself, as transformers' Adafactor with ``lr=None``."""

    def step(self) -> None:
        pass


@pytest.mark.parametrize("defaults", [{"lr": None}, {}])
def test_an_optimizer_without_a_rate_steps(attended: nn.Module, defaults: dict[str, None]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        steps(attended, Relative(attended.parameters(), defaults))
