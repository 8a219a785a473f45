from __future__ import annotations

import pytest
import torch
from torch import Tensor

from foveate.mechanisms.base import build


def authors(x: Tensor, gamma: Tensor) -> Tensor:
    """DANet's released forward pass, line by line."""
    b, c, height, width = x.size()
    energy = torch.bmm(x.view(b, c, -1), x.view(b, c, -1).permute(0, 2, 1))
    energy = torch.max(energy, -1, keepdim=True)[0].expand_as(energy) - energy
    return gamma * torch.bmm(torch.softmax(energy, dim=-1), x.view(b, c, -1)).view(b, c, height, width) + x


@pytest.mark.parametrize("paper", [False, True])
def test_equals_the_formula_in_loops(paper: bool, double: object) -> None:
    module, x = double("channel", 5, paper=paper), torch.randn(2, 5, 3, 2, dtype=torch.float64)
    expected = x.clone()
    for b in range(2):
        for i in range(5):
            energies = [(x[b, i] * x[b, j]).sum() for j in range(5)]
            raised = [torch.exp(e if paper else -e) for e in energies]
            expected[b, i] += module.gamma * sum(r / sum(raised) * x[b, j] for j, r in enumerate(raised))
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (32, 32)])
def test_equals_the_authors_code(size: tuple[int, int], double: object) -> None:
    """Also at 32x32, where the energies differ by hundreds and most weights are clamped."""
    module, x = double("channel", 12), torch.randn(2, 12, *size, dtype=torch.float64)
    torch.testing.assert_close(module(x), authors(x, module.gamma), rtol=0, atol=1e-12)


@pytest.mark.parametrize("channels", [1, 128, 129, 300])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_gradients_are_those_of_the_plain_formula(channels: int, layout: object, double: object) -> None:
    module = double("channel", channels)
    x = (0.3 * torch.randn(2, channels, 5, 3, dtype=torch.float64)).contiguous(memory_format=layout)
    slope, found = torch.randn_like(x), []
    for way in (module, lambda x: authors(x.contiguous(), module.gamma)):
        given, module.gamma.grad = x.clone().requires_grad_(), None
        y = way(given)
        y.backward(slope)
        found.append((y, given.grad, module.gamma.grad))
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-10)
    assert found[0][0].is_contiguous(memory_format=layout)


def test_first_and_second_gradients(double: object) -> None:
    x = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(double("channel", 3), x)
    assert torch.autograd.gradgradcheck(double("channel", 3), x)


def test_no_weight_is_denormal() -> None:
    module, seen = build("channel", 64), []
    module.map.register_forward_hook(lambda _m, _i, weights: seen.append(weights))
    module(torch.randn(1, 64, 64, 64))
    least = torch.finfo(torch.float32).tiny
    assert 0 < seen[0].min() < 1e-20  # there is something to clamp
    assert seen[0].min() > 1e6 * least  # and its product with a small feature is no denormal either


def test_rows_sum_to_one_and_the_default_favours_disagreement() -> None:
    x = torch.stack([torch.ones(4, 4), torch.ones(4, 4), -torch.ones(4, 4)])[None]
    for paper, looked_at in ((False, 2), (True, 0)):
        module, seen = build("channel", 3, paper=paper), []
        module.map.register_forward_hook(lambda _m, _i, weights, seen=seen: seen.append(weights))
        module(x)
        torch.testing.assert_close(seen[0].sum(-1), torch.ones(1, 3))
        assert seen[0][0, 0].argmax() == looked_at


def test_float16_does_not_overflow() -> None:
    module = build("channel", 16).half()
    torch.nn.init.ones_(module.gamma)
    x = 40 * torch.randn(1, 16, 64, 64)
    expected = authors(x.half().double(), module.gamma.double())
    assert (16 * 40**2 * 64**2) > torch.finfo(torch.float16).max
    torch.testing.assert_close(module(x.half()).double(), expected, rtol=2e-3, atol=0.05)


def test_a_shuffle_of_the_positions_shuffles_the_output(double: object) -> None:
    module, x = double("channel", 6), torch.randn(1, 6, 12, 1, dtype=torch.float64)
    order = torch.randperm(12)
    torch.testing.assert_close(module(x[:, :, order]), module(x)[:, :, order])


def test_multiply_adds_as_published() -> None:
    cost = build("channel", 512).cost(97, 97)
    assert (cost.parameters, round(cost.macs / 1e9, 3)) == (1, 4.933)


def test_a_fresh_one_is_the_identity_to_the_bit() -> None:
    x = torch.randn(2, 16, 7, 5)
    assert torch.equal(build("channel", 16)(x), x)
