from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import gumbel_softmax

from foveate.mechanisms.hard.gumbel import GumbelRead, annealed


def make(**options: object) -> GumbelRead:
    torch.manual_seed(0)
    return GumbelRead(6, **{"query": 4, **options}).double()


def inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(2, 3, 4, dtype=torch.float64, generator=generator),
        torch.randn(2, 5, 6, dtype=torch.float64, generator=generator),
    )


@pytest.mark.parity("gumbel")
@pytest.mark.parametrize("hard", [False, True])
def test_equals_pytorchs_gumbel_softmax_and_its_gradient(hard: bool) -> None:
    module, (query, memory) = make(hard=hard, tau=0.5), inputs()
    torch.manual_seed(2)
    context, weights = module(query, memory)
    torch.manual_seed(2)
    expected = gumbel_softmax(module.scores(query, memory), tau=0.5, hard=hard)
    torch.testing.assert_close(weights, expected, rtol=0, atol=1e-12)
    parameters = list(module.scores.parameters())
    ours = torch.autograd.grad((context**2).sum(), parameters)
    theirs = torch.autograd.grad(((expected @ memory) ** 2).sum(), parameters)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def test_straight_through_is_exactly_one_hot_with_the_soft_gradient() -> None:
    """Known fault elsewhere: onehot - y + y is not always 1."""
    module, (query, memory) = make().float(), inputs()
    query, memory = query.float().expand(2, 3, 4).repeat(1, 100, 1), memory.float()
    torch.manual_seed(2)
    _, weights = module(query, memory)
    assert ((weights == 0) | (weights == 1)).all() and (weights.sum(dim=2) == 1).all()
    module.hard = False
    torch.manual_seed(2)
    _, soft = module(query, memory)
    upstream = torch.randn_like(soft)
    grads = [torch.autograd.grad((w * upstream).sum(), module.scores.key.weight)[0] for w in (weights, soft)]
    torch.testing.assert_close(*grads)


def test_entries_are_drawn_with_their_probabilities() -> None:
    module, (query, memory) = make(), inputs()
    many = query[:1, :1].expand(1, 100_000, 4)
    reading = module.read(many, memory[:1], generator=torch.Generator().manual_seed(3))
    counts, expected = reading.weights.sum(dim=(0, 1)), 100_000 * reading.probabilities[0, 0]
    assert ((counts - expected) ** 2 / expected).sum() < 18.5  # chi-square, 4 degrees, p = 0.001


def test_masked_entries_are_never_drawn() -> None:
    module, (query, memory) = make(), inputs()
    mask = torch.tensor([[True, False, True, False, False], [False] * 5])
    _, weights = module(query.repeat(1, 200, 1), memory, mask)
    assert not weights[:, :, [1, 3, 4]].any() and weights[0, :, [0, 2]].any(dim=0).all()
    assert not weights[1].any()


def test_the_temperature_is_saved_and_can_be_annealed() -> None:
    module = make()
    module.tau.fill_(annealed(50_000))
    assert make(tau=3.0).load_state_dict(module.state_dict()).missing_keys == []
    assert annealed(50_000) == math.exp(-0.5) and annealed(10**7) == 0.5
