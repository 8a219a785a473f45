from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from foveate.mechanisms.query.scaled_dot import ScaledDotRead


@pytest.mark.parametrize("masked", [False, True])
def test_equals_pytorchs_fused_attention(inputs, masked: bool) -> None:
    query, memory = inputs()
    mask = torch.tensor([[True, False, True, True, False], [True] * 5]) if masked else None
    context, _ = ScaledDotRead(6)(query, memory, mask)
    other = mask.unsqueeze(1) if masked else None
    expected = scaled_dot_product_attention(query, memory, memory, attn_mask=other)
    torch.testing.assert_close(context, expected, rtol=0, atol=1e-12)


def test_equals_the_formula_in_loops(inputs, loops) -> None:
    query, memory = inputs()
    expected = loops(query, memory, lambda q, m: float(q @ m) / 6**0.5)
    torch.testing.assert_close(ScaledDotRead(6)(query, memory), expected, rtol=0, atol=1e-12)


def test_a_query_of_another_width_is_mapped_first(inputs) -> None:
    query, memory = inputs(query=4)
    module = ScaledDotRead(6, query=4).double()
    mapped = ScaledDotRead(6)(query @ module.match.weight.T, memory)
    torch.testing.assert_close(module(query, memory), mapped)
