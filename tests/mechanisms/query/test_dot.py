from __future__ import annotations

import pytest
import torch

from foveate.mechanisms.query.dot import DotRead
from foveate.mechanisms.query.general import GeneralRead


def test_equals_the_formula_in_loops(inputs, loops) -> None:
    query, memory = inputs()
    expected = loops(query, memory, lambda q, m: float(q @ m))
    torch.testing.assert_close(DotRead(6)(query, memory), expected, rtol=0, atol=1e-12)


def test_two_entries_are_a_sigmoid_of_the_difference(inputs) -> None:
    query, memory = inputs(entries=2)
    scores = (query.unsqueeze(2) * memory.unsqueeze(1)).sum(dim=3)
    _, weights = DotRead(6)(query, memory)
    torch.testing.assert_close(weights[:, :, 0], (scores[:, :, 0] - scores[:, :, 1]).sigmoid())


def test_adding_the_same_to_all_scores_changes_nothing(inputs) -> None:
    query, memory = inputs()
    _, weights = DotRead(6)(query, memory)
    shift = query[:1, :1]  # adds q . s to every score of a query, s the same for all entries
    torch.testing.assert_close(DotRead(6)(query, memory + shift)[1], weights)


def test_is_general_with_the_identity(inputs) -> None:
    query, memory = inputs()
    general = GeneralRead(6).double()
    torch.nn.init.eye_(general.form.weight)
    torch.testing.assert_close(DotRead(6)(query, memory), general(query, memory))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_large_scores_do_not_overflow_in_half_types(dtype: torch.dtype) -> None:
    query = torch.full((1, 1, 64), 100.0, dtype=dtype)
    memory = torch.stack([query[0, 0], -query[0, 0]]).unsqueeze(0)  # scores of +-640,000
    context, weights = DotRead(64)(query, memory)
    assert torch.equal(weights, torch.tensor([[[1.0, 0.0]]], dtype=dtype)) and torch.equal(context, query)
