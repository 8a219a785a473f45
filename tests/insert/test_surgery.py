"""Laws of insertion on small networks; ``test_matrix`` holds them over many models."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from handwritten import Branches, randomise
from torch import nn

from foveate.insert.surgery import (
    bypass,
    gate_parameters,
    insert,
    inserted,
    inserted_parameters,
    openings,
    remove,
)


@pytest.fixture
def example() -> torch.Tensor:
    torch.manual_seed(3)
    return torch.rand(2, 3, 32, 48)


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(1)
    return randomise(Branches()).eval()


SPECS = [
    "se@stage2",
    "se@blocks",
    "cbam@blocks.1+eca@stage1",
    "dual@before:head.0",
    "control(like=se)@blocks",
]


@pytest.mark.parametrize("spec", SPECS)
def test_the_first_output_is_the_plain_one_to_the_bit(
    model: nn.Module, example: torch.Tensor, spec: str
) -> None:
    assert torch.equal(insert(model, spec, example=example)(example), model(example))


@pytest.mark.parametrize("spec", SPECS)
def test_copies_and_pickles_are_equal(model: nn.Module, example: torch.Tensor, spec: str) -> None:
    attended = insert(model, spec, example=example)
    for parameter in gate_parameters(attended):
        nn.init.constant_(parameter, 0.3)
    for twin in (copy.deepcopy(attended), pickle.loads(pickle.dumps(attended))):
        assert torch.equal(twin(example), attended(example))
        assert str(twin) == str(attended)
        assert set(map(id, twin.parameters())).isdisjoint(map(id, attended.parameters()))


def test_bypass_gives_the_plain_output_and_comes_back(model: nn.Module, example: torch.Tensor) -> None:
    attended = insert(model, "se@blocks", example=example)
    for parameter in gate_parameters(attended):
        nn.init.ones_(parameter)
    weighed = attended(example)
    with bypass(attended) as off:
        assert off is attended
        assert torch.equal(attended(example), model(example))
    assert torch.equal(attended(example), weighed)
    assert not torch.allclose(weighed, model(example))


def test_remove_gives_the_plain_model_back(model: nn.Module, example: torch.Tensor) -> None:
    attended = insert(model, "se@blocks+cbam@stage1", example=example)
    plain = remove(attended)
    assert str(plain) == str(model)
    assert plain.state_dict().keys() == model.state_dict().keys()
    assert torch.equal(plain(example), model(example))
    assert inserted(attended) and not inserted(plain)


def test_parameters_are_listed(model: nn.Module, example: torch.Tensor) -> None:
    attended = insert(model, "se@blocks", example=example)
    names = {name for name, _ in attended.named_parameters()} - {name for name, _ in model.named_parameters()}
    assert len(inserted_parameters(attended)) == len(names)
    assert len(gate_parameters(attended)) == len(openings(attended)) == len(model.blocks)


def test_what_is_inserted_is_in_the_mode_of_its_host(model: nn.Module, example: torch.Tensor) -> None:
    for training in (True, False):
        model.train(training)
        attended = insert(model, "cbam@blocks", example=example)
        assert all(module.training is training for module in attended.modules())
