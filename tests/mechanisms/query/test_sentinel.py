from __future__ import annotations

import math

import pytest
import torch

from foveate.errors import OptionError, ShapeError
from foveate.mechanisms.query.additive import AdditiveRead
from foveate.mechanisms.query.sentinel import VisualSentinelRead


def make(**options: object) -> VisualSentinelRead:
    torch.manual_seed(0)
    return VisualSentinelRead(6, **{"query": 4, "hidden": 3, **options}).double()


def state() -> torch.Tensor:
    return torch.randn(2, 3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


@pytest.mark.parity("sentinel")
@pytest.mark.parametrize("kind", ["paper", "released"])
@torch.no_grad()
def test_equals_the_formula_in_loops(inputs, kind: str) -> None:
    module, (query, memory) = make(kind=kind), inputs(query=4)
    context, weights, beta = module.read(query, memory, sentinel=state())
    key, own, energy = module.key, module.sentinel_key, module.energy.weight[0]
    for b in range(2):
        for t in range(3):
            h, s = query[b, t], state()[b, t]
            if kind == "released":
                s = (module.before_sentinel.weight @ s + module.before_sentinel.bias).relu()
                h = (module.before_query.weight @ h + module.before_query.bias).tanh()
            asked = module.query.weight @ h
            shift = (key.bias, own.bias) if kind == "released" else (0.0, 0.0)
            scores = [float(energy @ (key.weight @ m + shift[0] + asked).tanh()) for m in memory[b]]
            scores.append(float(energy @ (own.weight @ s + shift[1] + asked).tanh()))
            raised = [math.exp(score) for score in scores]
            *alpha, last = [r / sum(raised) for r in raised]
            expected = last * s + sum(a * m for a, m in zip(alpha, memory[b], strict=True))
            torch.testing.assert_close(context[b, t], expected, rtol=0, atol=1e-12)
            assert beta[b, t].item() == pytest.approx(last, abs=1e-12)
            alone = torch.tensor(alpha, dtype=torch.float64) / (1 - last)
            torch.testing.assert_close(weights[b, t], alone, rtol=0, atol=1e-12)


def push(module: VisualSentinelRead, by: float) -> None:
    """Move the sentinel's score to ``by``, and all others to 0."""
    module.key.weight.data.zero_()
    module.query.weight.data.zero_()
    module.sentinel_key.weight.data.copy_(torch.ones(3, 6) * 1e6)
    module.energy.weight.data.fill_(by / 3)


def test_a_sentinel_out_of_reach_leaves_plain_attention(inputs) -> None:
    module, (query, memory) = make(), inputs(query=4)
    push(module, -1e4)
    context, weights, beta = module.read(query, memory, sentinel=torch.ones(2, 3, 6).double())
    plain = AdditiveRead(6, query=4, hidden=3, bias=False).double()
    plain.scores.load_state_dict(
        {f"{k}.weight": getattr(module, k).weight for k in ("query", "key", "energy")}
    )
    assert not beta.any()
    torch.testing.assert_close((context, weights), plain(query, memory))


def test_a_sentinel_that_takes_all_is_the_context(inputs) -> None:
    module, (query, memory) = make(), inputs(query=4)
    push(module, 1e4)
    ones = torch.ones(2, 3, 6).double()
    context, _, beta = module.read(query, memory, sentinel=ones)
    assert torch.equal(beta, ones[:, :, 0]) and torch.equal(context, ones)


def test_the_learned_sentinel_is_the_same_for_all(inputs) -> None:
    module, (query, memory) = make(), inputs(query=4)
    given = module.sentinel.detach().expand(2, 3, 6)
    torch.testing.assert_close(module(query, memory), module(query, memory, sentinel=given))


def test_wrong_arguments_are_explained(inputs) -> None:
    module, (query, memory) = make(), inputs(query=4)
    with pytest.raises(ShapeError, match=r"sentinel of shape \(2, 1, 6\), expected \(2, 3, 6\)"):
        module(query, memory, sentinel=state()[:, :1])
    with pytest.raises(OptionError, match="kind: got 'torch'"):
        make(kind="torch")
