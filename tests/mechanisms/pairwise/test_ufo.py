from __future__ import annotations

import torch

from foveate.mechanisms.base import build


def test_equals_the_formula_in_loops(double: object) -> None:
    module = double("ufo", 6, heads=2, norm=False)
    x = torch.randn(1, 6, 2, 3, dtype=torch.float64)
    tokens = x[0].flatten(1).T
    q, k, v = (
        tokens @ w.T + b
        for w, b in zip(module.project.weight.split(6), module.project.bias.split(6), strict=True)
    )
    read = torch.zeros(6, 6, dtype=torch.float64)
    for head, gamma in enumerate(module.gamma.flatten()):
        own = slice(3 * head, 3 * head + 3)
        summary = sum(torch.outer(k[j, own], v[j, own]) for j in range(6))
        rows = [gamma * row / (row**2).sum().sqrt() for row in summary]
        for i in range(6):
            unit = gamma * q[i, own] / (q[i, own] ** 2).sum().sqrt()
            read[i, own] = sum(unit[f] * rows[f] for f in range(3))
    read = read @ module.merge.weight.T + module.merge.bias
    torch.testing.assert_close(module(x), x + read.T.reshape(1, 6, 2, 3), rtol=0, atol=1e-10)


def test_what_a_position_takes_has_length_gamma(double: object) -> None:
    module, seen = double("ufo", 8, heads=2), []
    module.map.register_forward_hook(lambda _m, _i, formed: seen.append(formed))
    module(torch.randn(2, 8, 4, 3, dtype=torch.float64))
    lengths = seen[0].norm(dim=-1)
    torch.testing.assert_close(lengths, module.gamma.abs()[None, :, :, 0].expand_as(lengths))


def test_scale_of_the_input_does_not_matter_without_biases(double: object) -> None:
    module = double("ufo", 8, norm=False, bias=False, residual=False)
    x = torch.randn(2, 8, 4, 3, dtype=torch.float64)
    torch.testing.assert_close(module(1000 * x), module(x))


def test_a_map_of_zeros_gives_finite_numbers(double: object) -> None:
    """Known fault elsewhere: a query of length 0 is divided by its length."""
    module = double("ufo", 8, norm=False, bias=False)
    x = torch.zeros(1, 8, 3, 3, dtype=torch.float64, requires_grad=True)
    module(x).sum().backward()
    assert torch.equal(module(x), x)
    assert x.grad.isfinite().all()


def test_gamma_starts_at_one() -> None:
    """Known fault elsewhere: gamma is drawn, so that heads start with any sign and size."""
    assert torch.equal(build("ufo", 16).gamma, torch.ones(8, 1, 1))


def test_shuffled_positions_give_the_shuffled_output(double: object) -> None:
    module, x = double("ufo", 8), torch.randn(2, 8, 24, 1, dtype=torch.float64)
    order = torch.randperm(24)
    torch.testing.assert_close(module(x[:, :, order]), module(x)[:, :, order])
