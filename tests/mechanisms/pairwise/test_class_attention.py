from __future__ import annotations

import pytest
import torch
from timm.models.cait import ClassAttn
from torch import Tensor

from foveate.errors import OptionError
from foveate.mechanisms.base import Mechanism, build


def theirs(module: Mechanism, bias: bool) -> ClassAttn:
    other = ClassAttn(module.channels, module.heads, qkv_bias=bias).double().eval()
    for layer, own in (("q", "query"), ("k", "key"), ("v", "value"), ("proj", "merge")):
        getattr(other, layer).load_state_dict(module.get_submodule(own).state_dict(), strict=False)
    return other


@pytest.mark.parametrize("heads", [1, 2, 8])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("norm", [True, False])
def test_equals_timms_with_its_weights(heads: int, bias: bool, norm: bool, double: object) -> None:
    """Theirs has a bias for keys too, here random: it shifts all energies of a head alike."""
    module = double("class_attention", 16, heads=heads, bias=bias, norm=norm)
    x = torch.randn(2, 16, 5, 4, dtype=torch.float64)
    together = torch.cat([module.token.expand(2, -1, -1), x.flatten(2).transpose(1, 2)], dim=1)
    expected = theirs(module, bias)(module.norm(together)).squeeze(1)
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-10)


def test_the_token_reads_itself_too(double: object) -> None:
    module, seen = double("class_attention", 8, heads=2), []
    module.map.register_forward_hook(lambda _m, _i, formed: seen.append(formed))
    module(torch.randn(3, 8, 5, 4, dtype=torch.float64))
    assert seen[0].shape == (3, 2, 1, 21) and (seen[0] > 0).all()


def test_the_order_of_the_positions_does_not_matter(double: object) -> None:
    module, x = double("class_attention", 8), torch.randn(2, 8, 24, 1, dtype=torch.float64)
    torch.testing.assert_close(module(x[:, :, torch.randperm(24)]), module(x))


def test_keys_of_zero_give_the_mean_of_the_values(double: object) -> None:
    module, x = double("class_attention", 8), torch.randn(2, 8, 5, 4, dtype=torch.float64)
    torch.nn.init.zeros_(module.key.weight)
    together: Tensor = torch.cat([module.token.expand(2, -1, -1), x.flatten(2).transpose(1, 2)], dim=1)
    expected = module.merge(module.value(module.norm(together)).mean(dim=1))
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-10)


def test_costs_less_than_keys_and_values_of_every_position() -> None:
    cost = build("class_attention", 384).cost(24, 24)
    formed = 2 * 384**2 + 2 * 577 * 384**2 + 2 * 577 * 384  # as the paper's section 3 counts
    assert cost.macs < formed / 40
    assert cost.parameters == 4 * 384**2 + 3 * 384 + 384 + 2 * 384  # queries, values, merge; token; norm


def test_refuses_heads_that_do_not_divide() -> None:
    with pytest.raises(OptionError, match="16 channels"):
        build("class_attention", 16, heads=3)
