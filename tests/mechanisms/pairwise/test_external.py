from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from foveate.errors import OptionError
from foveate.mechanisms.pairwise.external import ExternalAttention


@torch.no_grad()
def in_loops(x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Softmax of each slot over the positions, then each position's weights divided by their sum."""
    positions = x.flatten(1).T
    weights = torch.zeros(len(positions), len(keys), dtype=x.dtype)
    for s, key in enumerate(keys):
        raised = [math.exp(position @ key) for position in positions]
        for n, r in enumerate(raised):
            weights[n, s] = r / sum(raised)
    y = torch.zeros_like(positions)
    for n in range(len(positions)):
        for s in range(len(keys)):
            y[n] += weights[n, s] / (1e-9 + sum(weights[n])) * values[:, s]
    return y.T.unflatten(1, x.shape[1:])


def test_equals_the_formula_in_loops(double: object) -> None:
    module, x = double("external", 5, slots=3), torch.randn(2, 5, 4, 3, dtype=torch.float64)
    keys, values = module.key.weight[..., 0, 0], module.value.weight[..., 0, 0]
    expected = torch.stack([in_loops(one, keys, values) for one in x])
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-10)


@pytest.mark.parity("external")
def test_the_authors_block_is_the_formula_between_convolutions(double: object) -> None:
    module, x = double("external", 5, slots=3, block=True), torch.randn(1, 5, 4, 3, dtype=torch.float64)
    keys, values = module.key.weight[..., 0, 0], module.value.weight[..., 0, 0]
    read = in_loops(module.enter(x)[0], keys, values)[None]
    convolution, norm = module.leave
    expected = (
        norm.weight[:, None, None] * convolution(read) / (norm.running_var + norm.eps).sqrt()[:, None, None]
    )
    expected = torch.relu(x + expected + norm.bias[:, None, None])
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-10)


def test_the_softmax_is_over_positions_and_not_over_the_batch(double: object) -> None:
    """Known fault elsewhere: a softmax over the first axis lets images in a batch compete."""
    module, x = double("external", 8), torch.randn(3, 8, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(module(x)[1:2], module(x[1:2]))


def test_equal_positions_read_alike_and_within_the_memory(double: object) -> None:
    module = double("external", 8, slots=4)
    x = torch.randn(1, 8, 1, 1, dtype=torch.float64).expand(-1, -1, 5, 5)
    mean = module.value.weight[..., 0, 0].mean(dim=1)
    torch.testing.assert_close(module(x), mean[None, :, None, None].expand_as(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("channels", "slots"), [(64, 64), (512, 64), (64, 8)])
def test_parameters_are_the_two_memories(channels: int, slots: int) -> None:
    assert ExternalAttention(channels, slots=slots).cost(9, 9).parameters == 2 * channels * slots


def test_refuses_no_slots() -> None:
    with pytest.raises(OptionError, match="slots: got 0"):
        ExternalAttention(16, slots=0)
