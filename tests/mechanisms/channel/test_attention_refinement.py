from __future__ import annotations

import pytest
import torch

from foveate.mechanisms.channel.attention_refinement import AttentionRefinement


def random_arm(channels: int = 6, **options: object) -> AttentionRefinement:
    torch.manual_seed(0)
    module = AttentionRefinement(channels, **options).double().eval()
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5 if "var" in name else torch.randn_like(tensor))
    return module


def normalised(value: torch.Tensor, norm: torch.nn.BatchNorm2d, c: int) -> torch.Tensor:
    return (
        norm.weight[c] * (value - norm.running_mean[c]) / (norm.running_var[c] + norm.eps).sqrt()
        + norm.bias[c]
    )


@pytest.mark.parametrize("conv", [False, True])
def test_equals_the_formula_written_out(conv: bool) -> None:
    module, x = random_arm(conv=conv), torch.randn(2, 6, 4, 3, dtype=torch.float64)
    u = x.clone()
    if conv:
        around, norm = torch.nn.functional.pad(x, (1, 1, 1, 1)), module.refine[1]
        for b, c, i, j in torch.cartesian_prod(*map(torch.arange, x.shape)).tolist():
            value = (around[b, :, i : i + 3, j : j + 3] * module.refine[0].weight[c]).sum()
            u[b, c, i, j] = normalised(value, norm, c).relu().detach()
    expected = torch.empty_like(u)
    for b in range(2):
        means = [u[b, c].sum() / 12 for c in range(6)]
        for c in range(6):
            logit = sum(w * m for w, m in zip(module.excite.weight[c, :, 0, 0], means, strict=True))
            expected[b, c] = u[b, c] / (1 + torch.exp(-normalised(logit, module.norm, c)))
    torch.testing.assert_close(module(x), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("conv", [False, True])
def test_zero_weights_halve_what_comes_in(conv: bool) -> None:
    module, x = random_arm(conv=conv), torch.randn(2, 6, 4, 3, dtype=torch.float64)
    for tensor in (module.excite.weight, module.norm.weight, module.norm.bias):
        torch.nn.init.zeros_(tensor)
    assert torch.equal(module(x), module.refine(x) / 2)


def test_released_size() -> None:
    """The authors' module from 128 channels to 128."""
    counted = sum(p.numel() for p in AttentionRefinement(128, conv=True).parameters())
    assert counted == 128 * 128 * 9 + 256 + 128 * 128 + 256


def test_trains_on_a_single_image() -> None:
    """Known fault elsewhere: batch statistics of one pooled vector raise."""
    module = AttentionRefinement(8).train()
    assert module(torch.randn(1, 8, 5, 5)).isfinite().all()
