from __future__ import annotations

import pytest
import torch
from torch import Tensor

from foveate.errors import OptionError, ShapeError
from foveate.mechanisms.hard.reinforce import ReinforceRead
from foveate.mechanisms.reading.reinforce_loss import ReinforceLoss


def steps() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    likely, chosen, entropy = torch.rand(3, 2, 4, dtype=torch.float64, generator=generator)
    return -likely, (-chosen).requires_grad_(), entropy.requires_grad_()


@pytest.mark.parametrize("baseline", [0.0, 0.7])
def test_over_all_outcomes_the_slope_is_that_of_the_expectation(baseline: float) -> None:
    """One step, five outcomes: sum_i a_i (c_i - b) d log a_i = d sum_i a_i c_i, whatever b."""
    torch.manual_seed(0)
    z, c = torch.randn(5, dtype=torch.float64, requires_grad=True), torch.randn(5, dtype=torch.float64)
    loss, none = ReinforceLoss(factor=1.0, entropy_factor=0.0).double().eval(), torch.zeros(1, 1).double()
    loss.baseline.fill_(baseline)
    logs = z.log_softmax(dim=0)
    total = sum(logs[i].exp().detach() * loss(c[i].view(1, 1), logs[i].view(1, 1), none) for i in range(5))
    (ours,) = torch.autograd.grad(-total, z)
    (exact,) = torch.autograd.grad((z.softmax(dim=0) * c).sum(), z)
    assert (ours - exact).abs().max() < 1e-15


@torch.no_grad()
def test_the_paper_in_loops() -> None:
    likely, chosen, entropy = steps()
    loss = ReinforceLoss(factor=0.3, entropy_factor=0.05).double()
    loss.baseline.fill_(-1.5)
    rewards = [float(likely[b].sum()) for b in range(2)]
    expected = (
        -sum(
            rewards[b] + 0.3 * (rewards[b] + 1.5) * float(chosen[b].sum()) + 0.05 * float(entropy[b].sum())
            for b in range(2)
        )
        / 2
    )
    assert loss(likely, chosen, entropy).item() == pytest.approx(expected, abs=1e-12)
    assert loss.baseline.item() == pytest.approx(0.9 * -1.5 + 0.1 * sum(rewards) / 2, abs=1e-12)


@torch.no_grad()
def test_steps_have_rewards_of_their_own() -> None:
    likely, chosen, entropy = steps()
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    loss = ReinforceLoss(kind="steps", factor=0.3, entropy_factor=0.05).double()
    loss.baseline.fill_(-1.5)
    terms = [
        float(likely[place] + 0.3 * (likely[place] + 1.5) * chosen[place] + 0.05 * entropy[place])
        for place in zip(*mask.nonzero().t().tolist(), strict=True)
    ]
    assert loss(likely, chosen, entropy, mask).item() == pytest.approx(-sum(terms) / 2, abs=1e-12)
    mean = float(likely[mask].mean())
    assert loss.baseline.item() == pytest.approx(0.9 * -1.5 + 0.1 * mean, abs=1e-12)


def test_the_released_gradient_of_the_probabilities() -> None:
    """(b - cost)/10 * (-s/a) + 0.002 (log a + 1) on each a, cost the mean over all steps, padding as 0."""
    torch.manual_seed(0)
    a = torch.rand(2, 4, 5, dtype=torch.float64).softmax(dim=2).requires_grad_()
    s = torch.nn.functional.one_hot(torch.randint(5, (2, 4)), 5).double()
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    loss = ReinforceLoss(kind="released").double()
    loss.baseline.fill_(-0.4)
    likely = steps()[0]
    value = loss(likely, (s * a.log()).sum(dim=2), -(a * a.log()).sum(dim=2), mask)
    (slope,) = torch.autograd.grad(value, a)
    cost = (-likely * mask).sum(dim=1) / 4
    expected = (0.4 - cost)[:, None, None] / 10 * (-s / a) + 0.002 * (a.log() + 1)
    torch.testing.assert_close(slope, (expected * mask.unsqueeze(2)).detach(), rtol=0, atol=1e-12)
    assert loss.baseline.item() == pytest.approx(0.9 * -0.4 + 0.1 * -float(cost.mean()), abs=1e-12)


def test_released_steps_reward_each_step_without_a_baseline() -> None:
    likely, chosen, entropy = steps()
    loss = ReinforceLoss(kind="released_steps").double()
    (slope,) = torch.autograd.grad(loss(likely, chosen, entropy), chosen)
    torch.testing.assert_close(slope, -0.1 * likely, rtol=0, atol=1e-12)
    assert not loss.baseline.any()


def test_the_baseline_lowers_the_variance() -> None:
    torch.manual_seed(0)
    z, reward = torch.zeros(5, dtype=torch.float64), torch.tensor([-9.0, -9.5, -10.0, -10.5, -11.0]).double()
    none, slopes = torch.zeros(1, 1).double(), {}
    loss = ReinforceLoss(factor=1.0, entropy_factor=0.0).double().eval()
    draws = torch.randint(5, (200,))
    for baseline in (0.0, -10.0):
        loss.baseline.fill_(baseline)
        each = []
        for i in draws:
            x = z.clone().requires_grad_()
            loss(reward[i].view(1, 1), x.log_softmax(dim=0)[i].view(1, 1), none).backward()
            each.append(x.grad)
        slopes[baseline] = torch.stack(each).var(dim=0).sum()
    assert slopes[-10.0] < slopes[0.0] / 20


def test_padding_does_not_count_and_eval_keeps_the_baseline() -> None:
    likely, chosen, entropy = (x.detach() for x in steps())
    loss, mask = ReinforceLoss().double().eval(), torch.arange(4).expand(2, 4) < 3
    junk = [x.masked_fill(~mask, float("-inf")) for x in (likely, chosen, entropy)]
    expected = loss(likely[:, :3], chosen[:, :3], entropy[:, :3])
    torch.testing.assert_close(loss(*junk, mask), expected)
    assert not loss.baseline.any()


def test_a_read_learns_where_the_reward_is() -> None:
    torch.manual_seed(0)
    read, loss = ReinforceRead(6, soft_share=0.0), ReinforceLoss(factor=1.0, entropy_factor=0.0)
    query, memory = torch.randn(1, 1, 6), torch.randn(1, 5, 6)
    for _ in range(60):
        reading = read.read(query.expand(16, 1, 6), memory.expand(16, 5, 6))
        likely = torch.log(0.05 + 0.9 * reading.weights[:, :, 3])
        read.zero_grad()
        loss(likely, reading.log_probability, reading.entropy).backward()
        for parameter in read.parameters():
            parameter.data -= 0.1 * parameter.grad
    assert read.eval()(query, memory)[1].argmax() == 3


def test_wrong_arguments_are_explained() -> None:
    with pytest.raises(OptionError, match="kind: got 'mean'"):
        ReinforceLoss(kind="mean")
    with pytest.raises(OptionError, match=r"decay: got 1\.5"):
        ReinforceLoss(decay=1.5)
    with pytest.raises(ShapeError, match=r"\(2, 4\), \(2, 3\), \(2, 4\), expected one shape"):
        ReinforceLoss()(torch.zeros(2, 4), torch.zeros(2, 3), torch.zeros(2, 4))
