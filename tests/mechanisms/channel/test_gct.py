from __future__ import annotations

import math

import pytest
import torch

from foveate.mechanisms.channel.gct import GatedChannelTransformation


def random_gct(channels: int = 6, **options: object) -> GatedChannelTransformation:
    torch.manual_seed(0)
    module = GatedChannelTransformation(channels, **options).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module


@pytest.mark.parity("gct")
@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_equals_the_formula_written_out(norm: str) -> None:
    module, x = random_gct(norm=norm), torch.randn(2, 6, 4, 3, dtype=torch.float64)
    alpha, gamma, beta = (p.detach().flatten().tolist() for p in (module.alpha, module.gamma, module.beta))
    expected = torch.empty_like(x)
    for image, out in zip(x, expected, strict=True):
        values = [channel.flatten().tolist() for channel in image]
        if norm == "l2":
            e = [a * math.sqrt(sum(v * v for v in vs) + 1e-5) for a, vs in zip(alpha, values, strict=True)]
            size = math.sqrt(sum(each * each for each in e) / 6 + 1e-5)
        else:
            e = [a * sum(abs(v) for v in vs) for a, vs in zip(alpha, values, strict=True)]
            size = sum(abs(each) for each in e) / 6 + 1e-5
        for c in range(6):
            out[c] = image[c] * (1 + math.tanh(gamma[c] * e[c] / size + beta[c]))
    torch.testing.assert_close(module(x), expected, rtol=1e-10, atol=1e-12)


def test_three_numbers_a_channel() -> None:
    assert sum(p.numel() for p in GatedChannelTransformation(256).parameters()) == 768


def test_competition_and_cooperation() -> None:
    """A positive gamma raises the channels of large norm most; a negative one lowers them most."""
    module, x = GatedChannelTransformation(4).double(), torch.ones(1, 4, 3, 3, dtype=torch.float64)
    x = x * torch.tensor([1.0, 2, 3, 4], dtype=torch.float64)[:, None, None]
    for sign in (1, -1):
        torch.nn.init.constant_(module.gamma, sign)
        ratio = (module(x) / x).mean(dim=(0, 2, 3))
        assert torch.equal(ratio.argsort(), torch.arange(4) if sign > 0 else torch.arange(3, -1, -1))


def test_a_scaled_input_gives_the_scaled_output() -> None:
    module, x = random_gct(), 10 * torch.randn(2, 6, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(module(4 * x), 4 * module(x), rtol=1e-6, atol=1e-6)


def test_half_precision_sums_squares_in_full() -> None:
    """Known fault elsewhere: the sum of squares runs over in float16, and the output is not a number."""
    module = random_gct(64).half()
    x = (30 * torch.randn(2, 64, 56, 56)).half()
    torch.testing.assert_close(module(x).float(), module.float()(x.float()), rtol=1e-2, atol=1e-2)
