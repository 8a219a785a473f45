from __future__ import annotations

import pytest
import torch

from foveate.mechanisms.query.general import GeneralRead


@pytest.mark.parity("general")
def test_equals_the_formula_in_loops(inputs, loops) -> None:
    torch.manual_seed(0)
    module, (query, memory) = GeneralRead(6, query=4).double(), inputs(query=4)
    form = module.form.weight.T  # (Q, D)
    expected = loops(query, memory, lambda q, m: float(q @ form @ m))
    torch.testing.assert_close(module(query, memory), expected, rtol=0, atol=1e-12)


def test_has_q_times_d_parameters_and_no_bias() -> None:
    assert GeneralRead(512, query=256).cost(14, 14).parameters == 256 * 512
