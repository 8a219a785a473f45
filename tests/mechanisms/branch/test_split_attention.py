from __future__ import annotations

import pytest
import torch
from timm.layers import SplitAttn

from foveate.errors import OptionError
from foveate.mechanisms.branch.split_attention import SplitAttention


@pytest.mark.parity("split_attention")
@pytest.mark.parametrize(("radix", "cardinality"), [(1, 1), (2, 1), (4, 1), (2, 2), (2, 4), (1, 2)])
@pytest.mark.parametrize("training", [False, True])
def test_equals_timm(radix: int, cardinality: int, training: bool) -> None:
    torch.manual_seed(0)
    module = SplitAttention(32, radix=radix, cardinality=cardinality)
    other = SplitAttn(32, groups=cardinality, radix=radix, norm_layer=torch.nn.BatchNorm2d)
    ours = list(module.state_dict().values())
    assert [t.shape for t in ours] == [t.shape for t in other.state_dict().values()]
    other.load_state_dict(dict(zip(other.state_dict(), ours, strict=True)))
    module, other, x = module.double(), other.double(), torch.randn(3, 32, 6, 5, dtype=torch.float64)
    expected = other.train(training)(x)
    torch.testing.assert_close(module.train(training)(x), expected, rtol=0, atol=1e-10)


def test_equals_the_formula_written_out() -> None:
    torch.manual_seed(1)
    module, x = SplitAttention(4, hidden=3).double().eval(), torch.randn(1, 4, 3, 3, dtype=torch.float64)
    u = module.norm(module.convolution(x)).relu()[0]
    means = [(u[c] + u[4 + c]).mean() for c in range(4)]
    squeeze, select = module.squeeze.weight[:, :, 0, 0], module.select.weight[:, :, 0, 0]
    z = torch.stack([squeeze[d] @ torch.stack(means) + module.squeeze.bias[d] for d in range(3)])
    z = (z / (1 + module.squeeze_norm.eps) ** 0.5).clamp(min=0)
    for c in range(4):
        one, two = (torch.exp(select[i * 4 + c] @ z + module.select.bias[i * 4 + c]) for i in (0, 1))
        expected = (one * u[c] + two * u[4 + c]) / (one + two)
        torch.testing.assert_close(module(x)[0, c], expected, rtol=0, atol=1e-10)


def test_a_zero_selection_is_the_mean_of_the_splits() -> None:
    module, x = SplitAttention(16, radix=4).eval(), torch.randn(2, 16, 5, 5)
    torch.nn.init.zeros_(module.select.weight)
    torch.nn.init.zeros_(module.select.bias)
    splits = module.norm(module.convolution(x)).relu().unflatten(1, (4, 16))
    torch.testing.assert_close(module(x), splits.mean(1))


def test_the_hidden_width_never_falls_under_32() -> None:
    widths = {16: 32, 64: 32, 128: 64, 256: 128, 512: 256}
    assert {c: SplitAttention(c).hidden for c in widths} == widths


def test_groups_that_do_not_divide_are_refused() -> None:
    with pytest.raises(OptionError, match=r"cardinality.*16"):
        SplitAttention(16, cardinality=3)
    with pytest.raises(OptionError, match=r"cardinality.*hidden=9"):
        SplitAttention(16, cardinality=2, hidden=9)
