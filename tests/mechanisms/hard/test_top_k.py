from __future__ import annotations

import pytest
import torch
from torch import Tensor

from foveate.errors import OptionError
from foveate.mechanisms.hard.top_k import TopKRead, perturbed, rescaled


def smoothed(scores: Tensor, noise: Tensor, k: int, sigma: float) -> Tensor:
    """The mean of the indicators, one draw after another."""
    total = torch.zeros(k, len(scores), dtype=scores.dtype)
    for draw in noise:
        places = sorted(sorted(range(len(scores)), key=lambda j: -float(scores[j] + sigma * draw[j]))[:k])
        for rank, place in enumerate(places):
            total[rank, place] += 1
    return total / len(noise)


def test_forward_is_the_mean_over_the_draws_in_loops() -> None:
    torch.manual_seed(0)
    scores, noise = torch.randn(6, dtype=torch.float64), torch.randn(40, 6, dtype=torch.float64)
    ours = perturbed(scores, noise, 2, torch.tensor(0.3, dtype=torch.float64))
    torch.testing.assert_close(ours, smoothed(scores, noise, 2, 0.3), rtol=0, atol=1e-12)
    torch.testing.assert_close(ours.sum(dim=1), torch.ones(2, dtype=torch.float64))
    assert (ours.sum(dim=0) <= 1 + 1e-12).all()


def test_the_slope_is_that_of_the_smoothed_choice() -> None:
    """Against central differences of the smoothed function, itself from other draws."""
    torch.manual_seed(0)
    scores, sigma = torch.tensor([0.1, 0.5, 0.2, 0.45, 0.3, 0.0]), torch.tensor(0.3)
    noise, direction = torch.randn(200_000, 6), torch.randn(2, 6)
    x = scores.clone().requires_grad_()
    (slope,) = torch.autograd.grad((perturbed(x, noise, 2, sigma) * direction).sum(), x)
    step, expected = 0.05, []
    for j in range(6):
        moved = [scores.clone() for _ in range(2)]
        moved[0][j] += step
        moved[1][j] -= step
        up, down = (float((perturbed(m, noise, 2, sigma) * direction).sum()) for m in moved)
        expected.append((up - down) / (2 * step))
    unit = direction.abs().sum()  # 4e-3 for every one of the indicator's entries
    assert (slope - torch.tensor(expected)).abs().max() < 4e-3 * unit


@torch.no_grad()
def test_inference_reads_the_mean_of_the_k_best() -> None:
    torch.manual_seed(0)
    module = TopKRead(6, query=4, k=2).double().eval()
    query, memory = torch.randn(2, 3, 4).double(), torch.randn(2, 5, 6).double()
    seen: list[Tensor] = []
    module.map.register_forward_hook(lambda _m, _i, out: seen.append(out))
    context, weights, probabilities, _, _ = module.read(query, memory)
    for b in range(2):
        for t in range(3):
            best = sorted(range(5), key=lambda j: -float(probabilities[b, t, j]))[:2]
            torch.testing.assert_close(context[b, t], memory[b, best].mean(dim=0))
            assert seen[0][b, t].argmax(dim=1).tolist() == sorted(best), "rows go by place"
    assert ((seen[0] == 0) | (seen[0] == 1)).all() and (weights > 0).sum(dim=2).eq(2).all()


def test_scores_learn_in_training_without_a_reward() -> None:
    torch.manual_seed(0)
    module = TopKRead(6, k=1, sigma=0.2, draws=100)
    query, memory = torch.randn(1, 1, 6), torch.randn(1, 5, 6)
    wanted = memory[0, 3]
    for _ in range(50):
        module.zero_grad()
        ((module(query, memory)[0] - wanted) ** 2).mean().backward()
        for parameter in module.parameters():
            parameter.data -= 0.1 * parameter.grad
    assert module.eval()(query, memory)[1].argmax() == 3


def test_without_noise_the_choice_is_plain_and_has_no_slope() -> None:
    module = TopKRead(6, k=2, sigma=0.0)
    query, memory = torch.randn(2, 3, 6), torch.randn(2, 5, 6)
    context, weights = module(query, memory)
    assert torch.equal(weights, module.eval()(query, memory)[1])
    context.sum().backward()
    assert not module.scores.key.weight.grad.any()


def test_fewer_entries_than_k_are_all_read() -> None:
    module, memory = TopKRead(6, k=4).eval(), torch.randn(1, 5, 6)
    mask = torch.tensor([[True, False, False, True, False]])
    context, weights = module(torch.randn(1, 2, 6), memory, mask)
    assert torch.equal(weights[0, 0], torch.tensor([0.5, 0, 0, 0.5, 0]))
    torch.testing.assert_close(context[0, 0], memory[0, [0, 3]].mean(dim=0))
    assert torch.equal(module(torch.randn(1, 2, 6), memory[:, :2])[1], torch.full((1, 2, 2), 0.5))


def test_rescaling_ignores_the_masked() -> None:
    scores = torch.tensor([[[2.0, 9.0, 4.0, 3.0]], [[1.0, 1.0, 1.0, 1.0]]])
    hidden = torch.tensor([[[False, True, False, False]], [[True] * 4]])
    assert torch.equal(rescaled(scores, hidden)[0, 0, [0, 2, 3]], torch.tensor([0.0, 1.0, 0.5]))
    assert torch.equal(rescaled(scores, hidden)[1], torch.zeros(1, 4))


@pytest.mark.parametrize(("option", "value"), [("sigma", -0.1), ("draws", 0), ("k", 0)])
def test_impossible_options_are_refused(option: str, value: float) -> None:
    with pytest.raises(OptionError, match=f"{option}: got"):
        TopKRead(6, **{option: value})
