from __future__ import annotations

import math

import torch
from torch import Tensor

from foveate.mechanisms.query.general import GeneralRead
from foveate.mechanisms.query.local_p import LocalPredictiveRead


def make(**options: object) -> LocalPredictiveRead:
    torch.manual_seed(0)
    return LocalPredictiveRead(6, **{"window": 2, **options}).double()


@torch.no_grad()
def by_the_paper(module: LocalPredictiveRead, q: Tensor, memory: Tensor) -> list[float]:
    """Return the weights of one query, as the formula prints them."""
    entries, window = len(memory), module.window
    v, w = module.centre.weight[0], module.predict.weight
    p = entries * float((v @ (w @ q).tanh()).sigmoid())
    inside = [j for j in range(entries) if abs(j - p) <= window]
    raised = {j: math.exp(float(module.form.weight @ q @ memory[j])) for j in inside}
    spread = window / 2
    return [
        raised[j] / sum(raised.values()) * math.exp(-((j - p) ** 2) / (2 * spread**2)) if j in inside else 0.0
        for j in range(entries)
    ]


def test_equals_the_formula_in_loops(inputs) -> None:
    module, (query, memory) = make(normalise=False), inputs(entries=9)
    context, weights = module(query, memory)
    normal = make()(query, memory)[1]
    for b in range(2):
        for t in range(3):
            expected = torch.tensor(by_the_paper(module, query[b, t], memory[b]), dtype=torch.float64)
            torch.testing.assert_close(weights[b, t], expected, rtol=0, atol=1e-12)
            torch.testing.assert_close(context[b, t], expected @ memory[b], rtol=0, atol=1e-12)
            torch.testing.assert_close(normal[b, t], expected / expected.sum(), rtol=0, atol=1e-12)


def test_a_wide_window_is_general(inputs) -> None:
    module, (query, memory) = make(window=10_000), inputs()
    general = GeneralRead(6).double()
    general.form.weight.data = module.form.weight.data
    torch.testing.assert_close(module(query, memory), general(query, memory))


def test_the_centre_goes_from_the_first_to_behind_the_last(inputs) -> None:
    module, (query, memory) = make(window=1, query=6), inputs(entries=9)
    for sign, expected in ((-1e4, [0, 1]), (1e4, [8])):  # the layer's tanh is +-1 then
        module.predict.weight.data = query[0, 0].expand(6, 6).clone()
        module.centre.weight.data.fill_(sign)
        assert module(query[:1, :1], memory[:1])[1][0, 0].nonzero().flatten().tolist() == expected


def test_padding_does_not_move_the_centre(inputs) -> None:
    module, (query, memory) = make(), inputs(entries=9)
    padded = torch.cat([memory, torch.ones(2, 4, 6)], dim=1)
    mask = torch.arange(13).expand(2, 13) < 9
    torch.testing.assert_close(module(query, padded, mask)[0], module(query, memory)[0])
    assert not module(query, memory, torch.zeros(2, 9, dtype=torch.bool))[0].any()
