"""Convolutions fused with their change of size: equal to the two steps, gradients too, and exported."""

import pytest
import torch
from torch.nn import functional as F

from foveate.models.generation.resizing_convolutions import DoublingConv2d, HalvingConv2d


def doubled(layer, x):
    large = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    return F.conv2d(large, layer.normal_weight(), layer.bias, padding=1)


def halved(layer, x):
    y = F.conv2d(x, layer.normal_weight(), layer.bias, padding=1)
    return sum(y[:, :, a::2, b::2] for a in (0, 1) for b in (0, 1)) / 4


@pytest.mark.parity("generation.resizing_convolutions")
@pytest.mark.parametrize(("kind", "in_two_steps"), [(DoublingConv2d, doubled), (HalvingConv2d, halved)])
@pytest.mark.parametrize("last", [False, True])
def test_one_step_is_the_two_steps(kind, in_two_steps, last):
    torch.manual_seed(0)
    layer = kind(3, 5, rule="released").double().eval()
    x = torch.randn(2, 3, 6, 4, dtype=torch.float64)
    if last:
        layer, x = (given.to(memory_format=torch.channels_last) for given in (layer, x))
    one, two = layer(x), in_two_steps(layer, x)
    torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-12)
    weights = torch.randn_like(two)
    found, wanted = (torch.autograd.grad((y * weights).sum(), (layer.weight, layer.bias)) for y in (one, two))
    torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-11)


def test_the_shifts_are_no_part_of_what_is_saved():
    assert {*DoublingConv2d(3, 5, rule="released").state_dict()} == {"weight", "bias", "u"}


@pytest.mark.parametrize("kind", [DoublingConv2d, HalvingConv2d])
def test_half_precision_and_autocast(kind):
    torch.manual_seed(0)
    layer, x = kind(4, 4, rule="released").eval(), torch.randn(1, 4, 8, 8)
    wanted = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(layer(x).float(), wanted, rtol=0.05, atol=0.05)
    torch.testing.assert_close(layer.bfloat16()(x.bfloat16()).float(), wanted, rtol=0.05, atol=0.05)
