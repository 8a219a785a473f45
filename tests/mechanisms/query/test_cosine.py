from __future__ import annotations

import torch

from foveate.mechanisms.query.cosine import CosineRead


def test_equals_the_formula_in_loops(inputs, loops) -> None:
    query, memory = inputs()
    expected = loops(query, memory, lambda q, m: 3.0 * float(q @ m / (q.norm() * m.norm())))
    torch.testing.assert_close(CosineRead(6, tau=3.0).double()(query, memory), expected, rtol=0, atol=1e-12)


def test_lengths_do_not_matter(inputs) -> None:
    module, (query, memory) = CosineRead(6).double(), inputs()
    longer = memory * torch.arange(1.0, 6.0, dtype=torch.float64)[:, None]
    torch.testing.assert_close(module(0.01 * query, longer)[1], module(query, memory)[1])


def test_entries_of_zeros_have_finite_gradients(inputs) -> None:
    query, memory = inputs()
    memory[:, 2] = 0
    query[:, 0] = 0
    for x in (query, memory):
        x.requires_grad_()
    context, weights = CosineRead(6, tau=1.0).double()(query, memory)
    torch.testing.assert_close(weights[:, 0], torch.full_like(weights[:, 0], 0.2))
    context.sum().backward()
    assert all(x.grad.isfinite().all() and x.grad.abs().max() < 100 for x in (query, memory))
