from __future__ import annotations

import math

import pytest
import torch
from scipy.fft import dctn

from foveate.errors import OptionError
from foveate.mechanisms.channel.fca import FrequencyChannelAttention
from foveate.mechanisms.channel.se import SqueezeExcitation

RESNET50 = 25_557_032


@pytest.mark.parametrize("select", ["low", "top"])
def test_the_coefficients_are_those_of_scipy(select: str) -> None:
    module = FrequencyChannelAttention(32, select=select).double()
    x = torch.randn(2, 32, 7, 7, dtype=torch.float64)
    spectra = torch.from_numpy(dctn(x.numpy(), axes=(2, 3), norm="ortho"))
    expected = torch.stack(
        [spectra[:, c, module.rows[c], module.columns[c]] for c in range(32)], dim=1
    )[:, :, None, None]  # fmt: skip
    torch.testing.assert_close(module.coefficients(x), expected, rtol=1e-10, atol=1e-10)


def test_equals_the_formula_written_out_at_another_size() -> None:
    torch.manual_seed(0)
    module, x = (
        FrequencyChannelAttention(16, reduction=4).double(),
        torch.randn(2, 16, 14, 9, dtype=torch.float64),
    )
    found = torch.zeros(2, 16, dtype=torch.float64)
    for c, u, v in zip(range(16), module.rows.tolist(), module.columns.tolist(), strict=True):
        for i in range(14):
            for j in range(9):  # ceil(14 / 7) = ceil(9 / 7) = 2
                wave = math.cos(math.pi * 2 * u * (i + 0.5) / 14) * math.cos(math.pi * 2 * v * (j + 0.5) / 9)
                size = math.sqrt((2 if u else 1) / 14 * (2 if v else 1) / 9)
                found[:, c] += size * wave * x[:, c, i, j]
    hidden = (found @ module.squeeze.weight[:, :, 0, 0].T).relu()
    gates = (hidden @ module.excite.weight[:, :, 0, 0].T).sigmoid()[:, :, None, None]
    torch.testing.assert_close(module(x), x * gates, rtol=1e-10, atol=1e-12)


def test_the_sixteen_lowest_pairs() -> None:
    module = FrequencyChannelAttention(32)
    pairs = set(zip(module.rows.tolist(), module.columns.tolist(), strict=True))
    assert len(pairs) == 16
    assert pairs == {(u, v) for u in range(5) for v in range(5) if u + v < 5} | {(0, 5)}


def test_one_frequency_is_squeeze_and_excitation_up_to_scale() -> None:
    torch.manual_seed(0)
    module, other = FrequencyChannelAttention(16, frequencies=1), SqueezeExcitation(16, bias=False)
    other.load_state_dict(module.state_dict())
    other.squeeze.weight.data *= math.sqrt(6 * 5)
    x = torch.randn(2, 16, 6, 5)
    torch.testing.assert_close(module(x), other(x))


def test_as_many_parameters_as_squeeze_and_excitation_without_biases() -> None:
    stages = ((256, 3), (512, 4), (1024, 6), (2048, 3))
    added = sum(n * FrequencyChannelAttention(c).cost(7, 7).parameters for c, n in stages)
    assert RESNET50 + added == 28_071_976


def test_equal_runs_of_channels_share_a_frequency() -> None:
    module = FrequencyChannelAttention(64)
    assert torch.equal(module.columns.view(16, 4), module.columns[::4, None].expand(16, 4))
    assert len(FrequencyChannelAttention(3).rows) == 3


def test_more_frequencies_than_there_are_are_refused() -> None:
    with pytest.raises(OptionError, match="frequencies: got 17"):
        FrequencyChannelAttention(32, frequencies=17)
