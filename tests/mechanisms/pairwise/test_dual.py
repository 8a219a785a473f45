from __future__ import annotations

import pytest
import torch
from torch import nn

from foveate.mechanisms.base import Mechanism, build


@pytest.mark.parametrize("paper", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (7, 5)])
def test_is_both_on_one_residual(paper: bool, size: tuple[int, int], double: object) -> None:
    dual = double("dual", 16, paper=paper)
    position, channel = double("position", 16), double("channel", 16, paper=paper)
    for name in ("query", "key", "value"):
        getattr(position, name).load_state_dict(getattr(dual, name).state_dict())
    position.gamma.data, channel.gamma.data = dual.gamma.data[:1], dual.gamma.data[1:]
    x = torch.randn(2, 16, *size, dtype=torch.float64)
    torch.testing.assert_close(dual(x), position(x) + channel(x) - x, rtol=0, atol=1e-10)


def opened(which: int) -> Mechanism:
    module = build("dual", 16)
    nn.init.ones_(module.gamma[which : which + 1])
    return module


def test_each_gamma_opens_its_own() -> None:
    x = torch.randn(1, 16, 6, 4)
    order = torch.randperm(16)
    swapped = x[:, order]
    assert torch.equal(build("dual", 16)(x), x)
    torch.testing.assert_close(opened(1)(swapped), opened(1)(x)[:, order])  # no weights of its own
    assert not torch.allclose(opened(0)(swapped), opened(0)(x)[:, order])


def test_both_paths_agree(double: object, explicit: object) -> None:
    module, x = double("dual", 16).float(), torch.randn(2, 16, 9, 7)
    torch.testing.assert_close(explicit(module, x), module(x), rtol=1e-5, atol=1e-5)


def test_costs_both() -> None:
    both = build("position", 512).cost(97, 97) + build("channel", 512).cost(97, 97)
    assert build("dual", 512).cost(97, 97) == both
