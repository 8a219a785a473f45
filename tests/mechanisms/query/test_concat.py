from __future__ import annotations

import pytest
import torch

from foveate.mechanisms.query.additive import AdditiveRead
from foveate.mechanisms.query.concat import ConcatRead


def make() -> ConcatRead:
    torch.manual_seed(0)
    return ConcatRead(6, query=4, hidden=3).double()


@pytest.mark.parity("concat")
def test_equals_the_formula_in_loops(inputs, loops) -> None:
    module, (query, memory) = make(), inputs(query=4)
    v = module.energy.weight[0]
    expected = loops(query, memory, lambda q, m: float(v @ (module.pair.weight @ torch.cat([q, m])).tanh()))
    torch.testing.assert_close(module(query, memory), expected, rtol=0, atol=1e-12)


def test_is_additive_with_its_weight_split(inputs) -> None:
    module, (query, memory) = make(), inputs(query=4)
    other = AdditiveRead(6, query=4, hidden=3, bias=False).double()
    other.scores.query.weight.data, other.scores.key.weight.data = module.pair.weight.data.split(
        (4, 6), dim=1
    )
    other.scores.energy.weight.data = module.energy.weight.data
    torch.testing.assert_close(module(query, memory), other(query, memory))
    assert module.cost(7, 7) == other.cost(7, 7)
