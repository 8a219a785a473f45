from __future__ import annotations

import pytest
import torch

from foveate.mechanisms.channel.srm import StyleRecalibration


def random_srm(channels: int = 5, **options: object) -> StyleRecalibration:
    torch.manual_seed(0)
    module = StyleRecalibration(channels, **options).double().eval()
    for tensor in (*module.parameters(), module.norm.running_mean):
        torch.nn.init.normal_(tensor)
    torch.nn.init.uniform_(module.norm.running_var, 0.5, 2)
    return module


@pytest.mark.parametrize("unbiased", [False, True])
def test_equals_the_formula_written_out(unbiased: bool) -> None:
    module, x = random_srm(unbiased=unbiased), torch.randn(2, 5, 4, 3, dtype=torch.float64)
    norm, expected = module.norm, torch.empty_like(x)
    for b in range(2):
        for c in range(5):
            values = x[b, c].flatten()
            mean = sum(values) / 12
            variance = sum((value - mean) ** 2 for value in values) / (11 if unbiased else 12)
            w1, w2 = module.style[:, c, 0, 0]
            style = w1 * mean + w2 * (variance + 1e-5).sqrt()
            style = (style - norm.running_mean[c]) / (norm.running_var[c] + norm.eps).sqrt()
            expected[b, c] = x[b, c] / (1 + torch.exp(-(norm.weight[c] * style + norm.bias[c])))
    torch.testing.assert_close(module(x), expected, rtol=1e-10, atol=1e-12)


def test_a_channel_does_not_see_the_others() -> None:
    module, x = random_srm(), torch.randn(2, 5, 4, 3, dtype=torch.float64)
    changed = x.clone()
    changed[:, 1:] += 1
    assert torch.equal(module(changed)[:, 0], module(x)[:, 0])


def test_shuffled_positions_give_the_shuffled_output() -> None:
    module, x, order = random_srm(), torch.randn(2, 5, 35, 1, dtype=torch.float64), torch.randperm(35)
    torch.testing.assert_close(module(x[:, :, order]), module(x)[:, :, order])


def test_fresh_gates_are_a_half() -> None:
    x = torch.randn(2, 16, 4, 4)
    assert torch.equal(StyleRecalibration(16)(x), x / 2)


def test_one_position_has_a_variance_of_zero() -> None:
    """Known fault elsewhere: dividing by H*W - 1 gives no number at 1 x 1."""
    x = torch.randn(2, 5, 1, 1, dtype=torch.float64)
    torch.testing.assert_close(random_srm(unbiased=True)(x), random_srm()(x))


def test_four_numbers_a_channel() -> None:
    added = sum(StyleRecalibration(c).cost(7, 7).parameters * n
                for c, n in ((256, 3), (512, 4), (1024, 6), (2048, 3)))  # fmt: skip
    assert added == 4 * 15_104  # ResNet-50
