from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from foveate.errors import OptionError
from foveate.mechanisms.base import Mechanism, build

KINDS = [{"kernel_size": 3}, {"kernel_size": None}, {"kernel_size": None, "size": 4}, {"size": 4}]


def bias(module: Mechanism, head: int, t: tuple[int, int], s: tuple[int, int]) -> float:
    """Return w of two positions; ``size`` 4 is tested on maps of 4 x 4."""
    reach = (module.kernel_size or 0) // 2
    down, along = s[0] - t[0], s[1] - t[1]
    outside = max(abs(down), abs(along)) > reach
    if module.size:
        return 0.0 if outside and module.kernel_size else module.table[(*t, *s)].item()
    if module.kernel_size is None or outside:
        return 0.0
    window = module.window[head]
    scaled = (window - window.mean()) / ((window - window.mean()) ** 2).mean().sqrt()
    return (module.gain[head] * scaled + module.shift[head])[down + reach, along + reach].item()


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_equals_the_formula_in_loops(options: dict, double: object) -> None:
    module = double("aft", 4, heads=2, norm=False, **options)
    x = torch.randn(1, 4, 4, 4 if "size" in options else 3, dtype=torch.float64)
    places = [(i, j) for i in range(4) for j in range(x.shape[3])]
    q, k, v = module.project(x.permute(0, 2, 3, 1))[0].detach().split(4, dim=2)  # (H, W, 4) each
    expected = x.clone()
    for t in places:
        for c in range(4):
            raised = {s: math.exp(float(k[s][c]) + bias(module, c // 2, t, s)) for s in places}
            mean = sum(raised[s] * float(v[s][c]) for s in places) / sum(raised.values())
            expected[0, c, t[0], t[1]] += mean / (1 + math.exp(-float(q[t][c])))
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("options", [{}, {"size": 5}, {"kernel_size": None, "size": 5}], ids=str)
def test_fresh_it_is_the_simple_one(options: dict) -> None:
    """Distances start to count while it learns: every w starts at 0."""
    x = torch.randn(2, 16, 6, 7)
    plain, module = build("aft", 16, kernel_size=None), build("aft", 16, **options)
    module.load_state_dict(plain.state_dict(), strict=False)
    torch.testing.assert_close(module(x), plain(x))


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_large_keys_do_not_overflow(options: dict) -> None:
    """Known fault elsewhere: exp(k) of a key of a few hundred."""
    module = build("aft", 8, norm=False, **options)
    x = (1000 * torch.randn(1, 8, 6, 6)).requires_grad_()
    y = module(x)
    y.sum().backward()
    assert y.isfinite().all() and x.grad.isfinite().all()


def test_knows_distances_and_the_simple_one_does_not(double: object) -> None:
    x, order = torch.randn(1, 8, 24, 1, dtype=torch.float64), torch.randperm(24)
    simple, window = double("aft", 8, kernel_size=None), double("aft", 8, kernel_size=5)
    torch.testing.assert_close(simple(x[:, :, order]), simple(x)[:, :, order])
    assert not torch.allclose(window(x[:, :, order]), window(x)[:, :, order], atol=1e-2)
    inside, moved = torch.zeros(2, 1, 8, 30, 9, dtype=torch.float64)
    inside[..., 10:16, :], moved[..., 13:19, :] = x[:, :, :6], x[:, :, :6]
    far: Tensor = window(inside)[..., 6:20, :]  # what is not moved is the same everywhere
    torch.testing.assert_close(window(moved)[..., 9:23, :], far)


@pytest.mark.parametrize("kernel_size", [1, 4, -3])
def test_refuses_windows_without_distances(kernel_size: int) -> None:
    with pytest.raises(OptionError, match="kernel_size"):
        build("aft", 16, kernel_size=kernel_size)
