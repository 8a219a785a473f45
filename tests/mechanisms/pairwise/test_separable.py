from __future__ import annotations

import torch
from timm.models.mobilevit import LinearSelfAttention

from foveate.mechanisms.base import build


def test_equals_timms_with_its_weights(double: object) -> None:
    module = double("separable", 6, norm=False, residual=False)
    other = LinearSelfAttention(6).double()
    other.qkv_proj.load_state_dict(module.project.state_dict())
    other.out_proj.load_state_dict(module.merge.state_dict())
    x = torch.randn(2, 6, 5, 4, dtype=torch.float64)
    expected = other(x.flatten(2).unsqueeze(2)).reshape(2, 6, 5, 4)  # one place a patch, 20 patches
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-10)


def test_equals_the_formula_in_loops(double: object) -> None:
    module, x = double("separable", 3), torch.randn(1, 3, 2, 3, dtype=torch.float64)
    n = (x - x.mean()) / (x.var(unbiased=False) + 1e-5).sqrt()
    n = n * module.norm.weight[:, None, None] + module.norm.bias[:, None, None]
    weight, bias = module.project.weight[:, :, 0, 0], module.project.bias
    q, k, v = ((weight @ n[0].flatten(1)) + bias[:, None]).split([1, 3, 3])
    raised = [torch.exp(q[0, j]) for j in range(6)]
    context = sum(raised[j] / sum(raised) * k[:, j] for j in range(6))
    y = torch.empty_like(x)
    for i in range(6):
        gated = v[:, i].clamp(min=0) * context
        read = module.merge.weight[:, :, 0, 0] @ gated + module.merge.bias
        y[0, :, i // 3, i % 3] = x[0, :, i // 3, i % 3] + read
    torch.testing.assert_close(module(x), y, rtol=0, atol=1e-10)


def test_a_query_of_zero_takes_the_mean_of_the_keys(double: object) -> None:
    module, x = double("separable", 4), torch.randn(2, 4, 3, 5, dtype=torch.float64)
    torch.nn.init.zeros_(module.project.weight[:1])
    seen: list[torch.Tensor] = []
    module.map.register_forward_hook(lambda _m, _i, formed: seen.append(formed))
    module(x)
    torch.testing.assert_close(seen[0], torch.full((2, 1, 3, 5), 1 / 15, dtype=torch.float64))


def test_shuffled_positions_give_the_shuffled_output(double: object) -> None:
    module, x = double("separable", 8), torch.randn(2, 8, 24, 1, dtype=torch.float64)
    order = torch.randperm(24)
    torch.testing.assert_close(module(x[:, :, order]), module(x)[:, :, order])


def test_parameters_as_timms() -> None:
    own = sum(p.numel() for p in LinearSelfAttention(128).parameters())
    assert build("separable", 128, norm=False).cost(4, 4).parameters == own
