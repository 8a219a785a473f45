"""Laws of insertion on small networks; ``test_matrix`` holds them over many models."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from foveate.errors import OptionError, SiteError
from foveate.insert.inserted_parts import (
    gate_parameters,
    insert_config,
    inserted,
    inserted_parameters,
    openings,
)
from foveate.insert.surgery import bypass, insert, remove
from tests.insert.handwritten import Branches, randomise


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


@pytest.mark.parametrize("spec", ["se@blocks", "cbam_pool@pool", "csra@output", "se@replace:blocks.0.near.1"])
def test_at_gate_one_it_is_the_papers_own_start(model: nn.Module, example: torch.Tensor, spec: str) -> None:
    ours = insert(model, spec, example=example)
    paper = insert(model, spec, example=example, start="paper")
    assert not gate_parameters(paper)
    for gate in gate_parameters(ours):
        nn.init.ones_(gate)
    assert torch.equal(ours(example), paper(example))
    assert not torch.allclose(paper(example), model(example))
    assert set(openings(ours).values()) == set(openings(paper).values()) == {1.0}


def test_the_weighing_is_that_of_the_mechanism_itself(model: nn.Module, example: torch.Tensor) -> None:
    """The oracle is a forward pass written by hand."""
    paper = insert(model, "se@blocks.0+eca@before:blocks.1", example=example, start="paper")
    x = model.blocks[0](model.conv(example))
    x = paper.blocks[1].foveate.eca(paper.blocks[0].foveate.se(x))
    expected = model.head(model.blocks[2](model.blocks[1](x)))
    assert torch.equal(paper(example), expected)


def test_a_mechanism_with_a_gate_of_its_own_needs_no_other_but_in_the_hosts_place(
    model: nn.Module, example: torch.Tensor
) -> None:
    behind = insert(model, "dual@blocks.0", example=example)
    assert [tuple(gate.shape) for gate in gate_parameters(behind)] == [(2,)]
    instead = insert(model, "dual@replace:blocks.0.near.1", example=example)
    assert [tuple(gate.shape) for gate in gate_parameters(instead)] == [(1,), (2,)]
    assert torch.equal(instead(example), model(example))
    with torch.no_grad():
        gate_parameters(behind)[0].copy_(torch.tensor([0.5, -0.1]))
    assert openings(behind) == {"blocks.0.foveate.dual": pytest.approx(0.3)}


def test_a_half_open_gate_is_half_way(model: nn.Module, example: torch.Tensor) -> None:
    ends = [insert(model, "cbam@stage2", example=example) for _ in range(3)]
    for attended, value in zip(ends, (0.0, 0.5, 1.0), strict=True):
        nn.init.constant_(gate_parameters(attended)[0], value)
    maps = [attended.blocks[2](torch.ones(1, 16, 4, 6)) for attended in ends]
    assert torch.allclose(maps[1], (maps[0] + maps[2]) / 2, atol=1e-6)
    assert openings(ends[1]) == {"blocks.2.foveate.cbam": 0.5}


def test_weights_depend_on_the_seed_and_the_site_and_on_nothing_else(
    model: nn.Module, example: torch.Tensor
) -> None:
    def squeeze(spec: str, seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        torch.rand(seed + 1)  # how much was drawn before does not matter
        before = torch.get_rng_state()
        attended = insert(model, spec, example=example)
        assert torch.equal(torch.get_rng_state(), before)
        return attended.blocks[2].foveate.se.squeeze.weight.detach()

    assert torch.equal(squeeze("se@blocks.2", 1), squeeze("cbam@blocks.0+se@blocks", 1))
    assert not torch.equal(squeeze("se@blocks.2", 1), squeeze("se@blocks.2", 2))
    twice = insert(model, "se@blocks.2+se@blocks.2", example=example).blocks[2].foveate
    assert not torch.equal(twice.se.squeeze.weight, twice.se_2.squeeze.weight)


def test_inserting_again_adds_to_what_is_there(model: nn.Module, example: torch.Tensor) -> None:
    once = insert(model, "se@blocks.0+eca@blocks.0+cbam@stage2", example=example)
    twice = insert(insert(model, "se@blocks.0", example=example), "eca@blocks.0+cbam@stage2", example=example)
    assert str(once) == str(twice)
    assert once.state_dict().keys() == twice.state_dict().keys()
    assert insert_config(once) == insert_config(twice)
    with pytest.raises(SiteError, match="same start"):
        insert(once, "se@stage1", example=example, start="paper")


def test_a_swap_lets_the_host_rest_and_remove_wakes_it(model: nn.Module, example: torch.Tensor) -> None:
    swapped = insert(model, "se@replace:blocks.0.near.1", example=example, start="paper")
    swapped(example).sum().backward()
    waiting = [name for name, p in swapped.named_parameters() if p.requires_grad and p.grad is None]
    assert not waiting  # DDP would wait for them
    assert not swapped.blocks[0].near[1].weight.requires_grad
    assert remove(swapped).blocks[0].near[1].weight.requires_grad
    assert torch.equal(remove(swapped)(example), model(example))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_type_of_the_model_is_kept(model: nn.Module, example: torch.Tensor, dtype: torch.dtype) -> None:
    typed, images = model.to(dtype), example.to(dtype)
    attended = insert(typed, "se@blocks+cbam_pool@pool", example=images)
    assert {p.dtype for p in attended.parameters()} == {dtype}
    assert torch.equal(attended(images), typed(images))


def test_autocast_and_channels_last(model: nn.Module, example: torch.Tensor) -> None:
    attended = insert(model, "se@blocks+dual@stage2", example=example)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(attended(example), model(example))
    seen: list[torch.Tensor] = []
    attended.blocks[1].register_forward_hook(lambda module, args, output: seen.append(output))
    attended.to(memory_format=torch.channels_last)(example.contiguous(memory_format=torch.channels_last))
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


def test_wrong_starts_and_plain_models_are_named(model: nn.Module, example: torch.Tensor) -> None:
    with pytest.raises(OptionError, match='got \'zero\', expected "identity" or "paper"'):
        insert(model, "se@blocks", example=example, start="zero")  # type: ignore[arg-type]
    with pytest.raises(SiteError, match="nothing was inserted"):
        insert_config(model)
    assert openings(model) == {}


def test_hooks_of_the_user_see_the_attended_output(model: nn.Module, example: torch.Tensor) -> None:
    attended = insert(model, "se@blocks.0", example=example, start="paper")
    seen: list[torch.Tensor] = []
    attended.blocks[0].register_forward_hook(lambda module, args, output: seen.append(output))
    attended(example)
    plain = model.blocks[0](model.conv(example))
    assert torch.equal(seen[0], attended.blocks[0].foveate.se(plain))
