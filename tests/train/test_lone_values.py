import pytest
import torch
from torch import nn

from foveate.train.lone_values import lone_values


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4), nn.Flatten()
    )


def test_one_value_a_channel_is_normalised_by_the_running_statistics():
    model, x = network(), torch.rand(1, 3, 8, 8)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        model(x)
    with lone_values(model):
        found = model(x)
    found.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert model[0].weight.grad.any()  # what stands in lets gradients through; 0 would not
    assert all(module.training for module in model.modules())
    assert model[1].running_mean.any() and not model[3].running_mean.any()  # one value teaches nothing
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_more_values_are_normalised_as_ever():
    model, x = network(), torch.rand(2, 3, 8, 8)
    before = model(x)
    with lone_values(model):
        assert torch.equal(model(x), before)


def test_a_layer_that_fails_goes_back_to_training():
    model = network()
    with lone_values(model), pytest.raises(RuntimeError):
        model[3](torch.rand(1, 5, 1, 1))
    assert model[3].training
