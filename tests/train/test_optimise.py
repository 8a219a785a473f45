import math

import pytest
import timm
import torch
from torch import nn

from foveate.errors import OptionError
from foveate.insert.inserted_parts import gate_parameters
from foveate.insert.surgery import insert
from foveate.models import create_model
from foveate.train import TrainConfig
from foveate.train.optimise import Schedule, build_optimizer, parameter_groups, schedules, set_learning_rates


def test_the_schedule_rises_in_a_line_and_falls_in_a_cosine():
    schedule = Schedule(lr=2.0, warmup=4, steps=14)
    found = [schedule(step) for step in range(14)]
    assert found[:5] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0])
    assert found[4:] == pytest.approx([1 + math.cos(math.pi * k / 10) for k in range(10)])
    assert max(found) == 2.0
    assert min(found) > 0


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_very_short_schedules_are_defined(steps):
    for warmup in range(steps + 1):
        assert all(0 <= Schedule(1.0, warmup, steps)(step) <= 1 for step in range(steps + 1))


def test_groups_hold_every_parameter_once():
    model = insert(
        create_model("resnet8", classes=3, width=4),
        "se@blocks+position@stage3",
        example=torch.rand(2, 3, 16, 16),
    )
    groups = {g["name"]: g for g in parameter_groups(model, lr=1e-3, weight_decay=0.1)}
    names = {id(p): name for name, p in model.named_parameters()}
    members = {name: {names[id(p)] for p in g["params"]} for name, g in groups.items()}
    assert sum(len(g["params"]) for g in groups.values()) == len(names)
    assert members["gates"] == {names[id(p)] for p in gate_parameters(model)}
    assert len(members["gates"]) == 4
    kernels = (nn.Conv2d, nn.Linear)
    matrices = {f"{path}.weight" for path, m in model.named_modules() if isinstance(m, kernels)}
    assert members["decayed"] == matrices
    assert [groups[name]["weight_decay"] for name in ("decayed", "undecayed", "gates")] == [0.1, 0.0, 0.0]


def test_what_a_timm_model_exempts_does_not_decay():
    model = timm.create_model("test_vit", num_classes=2)
    assert "pos_embed" in model.no_weight_decay()
    decayed = next(g for g in parameter_groups(model, lr=1e-3, weight_decay=0.1) if g["name"] == "decayed")
    assert not any(p is model.pos_embed for p in decayed["params"])


def test_frozen_parameters_are_left_out():
    model = nn.Linear(2, 2)
    model.weight.requires_grad = False
    (group,) = parameter_groups(model, lr=1e-3, weight_decay=0.1)
    assert group["params"] == [model.bias]


def gated(config: TrainConfig, steps: int) -> list[dict[str, float]]:
    """Return the learning rate of every group at every step."""
    model = insert(create_model("resnet8", classes=3, width=4), "se@stage1", example=torch.rand(2, 3, 16, 16))
    optimizer, rates, found = build_optimizer(model, config), schedules(config, steps), []
    for step in range(steps):
        set_learning_rates(optimizer, rates, step)
        found.append({group["name"]: group["lr"] for group in optimizer.param_groups})
    return found


@pytest.mark.parametrize("lr", [1e-4, 1e-2])
@pytest.mark.parametrize("steps", [20, 500])
def test_gates_can_go_as_far_as_their_reach_however_long_the_run(lr, steps):
    found = gated(TrainConfig(lr=lr, gate_reach=1.5), steps)
    assert sum(f["gates"] for f in found) == pytest.approx(1.5, rel=0.1)
    assert max(f["decayed"] for f in found) == max(f["undecayed"] for f in found) == lr


def test_gates_have_a_warmup_of_their_own():
    found = [f["gates"] for f in gated(TrainConfig(warmup=0.0, gate_warmup=0.5, gate_reach=1.0), steps=10)]
    assert found[0] == pytest.approx(found[5] / 6)
    assert max(found) == found[5]


def test_with_sgd_gates_have_the_rate_of_the_weights():
    found = gated(TrainConfig(optimizer="sgd", lr=0.1, weight_decay=5e-4, warmup=0.0), steps=10)
    assert [f["gates"] for f in found] == [f["decayed"] for f in found]


@pytest.mark.parametrize(("name", "options"), [("adamw", {}), ("sgd", {"momentum": 0.9, "nesterov": True})])
def test_one_step_equals_pytorchs_plain_optimizer_in_either_layout(name, options):
    plain = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[name]
    for memory_format in (torch.contiguous_format, torch.channels_last):
        ours, theirs = (nn.Conv2d(3, 4, 3).to(memory_format=memory_format) for _ in range(2))
        theirs.load_state_dict(ours.state_dict())
        config = TrainConfig(optimizer=name, lr=0.01, weight_decay=0.1)
        decays = [{"params": [theirs.weight]}, {"params": [theirs.bias], "weight_decay": 0.0}]
        pair = build_optimizer(ours, config), plain(decays, lr=0.01, weight_decay=0.1, fused=False, **options)
        x = torch.rand(2, 3, 6, 6).contiguous(memory_format=memory_format)
        for _ in range(3):
            for model, optimizer in zip((ours, theirs), pair, strict=True):
                optimizer.zero_grad()
                model(x).square().sum().backward()
                optimizer.step()
        torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=1e-5, atol=1e-6)


def test_a_users_own_loop_opens_the_gates_as_far_as_ours():
    model = insert(create_model("resnet8", classes=3, width=4), "se@blocks", example=torch.rand(2, 3, 16, 16))
    groups = {g["name"]: g for g in parameter_groups(model, lr=1e-4, steps=50, gate_reach=1.5)}
    assert groups["gates"]["lr"] == pytest.approx(2 * 1.5 / 50)
    assert groups["decayed"]["lr"] == groups["undecayed"]["lr"] == 1e-4
    ours = schedules(TrainConfig(lr=1e-4, gate_reach=1.5), 50)
    assert groups["gates"]["lr"] == ours["gates"].lr


@pytest.mark.parametrize("given", [{"lr": 0}, {"lr": 1e-3, "steps": 0}, {"lr": 1e-3, "gate_reach": -1}])
def test_impossible_rates_are_refused(given):
    with pytest.raises(OptionError, match=next(iter(reversed(given)))):
        parameter_groups(nn.Linear(2, 2), **given)
