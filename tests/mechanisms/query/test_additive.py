from __future__ import annotations

import pytest
import torch

from foveate.errors import OptionError
from foveate.mechanisms.query.additive import AdditiveRead


def make(**options: object) -> AdditiveRead:
    torch.manual_seed(0)
    return AdditiveRead(6, **options).double()


@pytest.mark.parametrize("bias", [True, False])
def test_equals_the_formula_in_loops(inputs, loops, bias: bool) -> None:
    module = make(query=4, hidden=3, bias=bias)
    w, u, v = module.scores.query.weight, module.scores.key.weight, module.scores.energy.weight[0]
    b = module.scores.key.bias if bias else 0.0
    query, memory = inputs(query=4)
    expected = loops(query, memory, lambda q, m: float(v @ (w @ q + u @ m + b).tanh()))
    torch.testing.assert_close(module(query, memory), expected, rtol=0, atol=1e-12)


def test_without_a_score_it_is_the_mean(inputs) -> None:
    module, (query, memory) = make(), inputs()
    torch.nn.init.zeros_(module.scores.energy.weight)
    context, weights = module(query, memory)
    assert torch.equal(weights, torch.full((2, 3, 5), 0.2, dtype=torch.float64))
    torch.testing.assert_close(context, memory.mean(dim=1, keepdim=True).expand_as(context))


def test_published_parameters_of_the_alignment() -> None:
    """RNNsearch: n = 1000, query 1000, annotations 2000, no biases."""
    assert AdditiveRead(2000, query=1000, hidden=1000, bias=False, device="meta").cost(1, 1).parameters == (
        3_001_000
    )


@pytest.mark.parametrize(("kind", "width"), [("scalar", 1), ("vector", 6)])
def test_the_gate_multiplies_the_context_by_what_the_query_says(inputs, kind: str, width: int) -> None:
    module, (query, memory) = make(context_gate=kind), inputs()
    context, weights = module(query, memory)
    beta = torch.sigmoid(query @ module.beta.weight.T + module.beta.bias)
    assert beta.shape[2] == width
    torch.testing.assert_close(context, beta * (weights @ memory), rtol=0, atol=1e-12)
    torch.nn.init.constant_(module.beta.bias, -1e4)
    assert not module(query, memory)[0].any(), "a closed gate leaves nothing of the memory"


def test_an_unknown_gate_is_refused() -> None:
    with pytest.raises(OptionError, match=r"context_gate: got 'open', expected one of none, scalar, vector"):
        AdditiveRead(6, context_gate="open")


def test_masked_is_left_out_not_just_made_small(inputs) -> None:
    """Known fault elsewhere: a mask of -1e9 in half precision, or one after the softmax."""
    module, (query, memory) = make(), inputs()
    mask = torch.tensor([[True, True, False, True, False]] * 2)
    context, weights = module(query, memory.masked_fill(~mask.unsqueeze(2), float("nan")), mask)
    kept = module(query, memory[:, [0, 1, 3]])
    torch.testing.assert_close(context, kept[0])
    torch.testing.assert_close(weights[:, :, [0, 1, 3]], kept[1])
    assert not weights[:, :, [2, 4]].any()
    half = AdditiveRead(6).half()(query.half(), memory.half(), mask)
    assert not half[1][:, :, [2, 4]].any() and half[0].isfinite().all()


def test_nothing_to_read_gives_zeros_and_finite_gradients(inputs) -> None:
    module, (query, memory) = make(), inputs()
    mask = torch.tensor([[False] * 5, [True] * 5])
    for where in (mask, mask[:, :0]):
        query.requires_grad_()
        context, weights = module(query, memory[:, : where.shape[1]], where)
        assert not context[0].any() and not weights[0].any()
        context.sum().backward()
        assert all(p.grad.isfinite().all() for p in [query, *module.parameters()])


def test_shuffled_entries_leave_the_context(inputs) -> None:
    module, (query, memory) = make(), inputs()
    order = torch.randperm(5)
    context, weights = module(query, memory)
    shuffled = module(query, memory[:, order])
    torch.testing.assert_close(shuffled[0], context)
    torch.testing.assert_close(shuffled[1], weights[:, :, order])
