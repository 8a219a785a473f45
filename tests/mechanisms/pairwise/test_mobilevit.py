from __future__ import annotations

from functools import partial

import pytest
import torch
from timm.layers import ConvNormAct
from timm.models.byobnet import LayerFn
from timm.models.mobilevit import MobileVitBlock
from torch import nn

from foveate.errors import OptionError
from foveate.mechanisms.base import Mechanism, build


def theirs(module: Mechanism, patch: int = 2) -> MobileVitBlock:
    other = MobileVitBlock(
        *(module.channels, module.channels),
        transformer_dim=module.width,
        transformer_depth=module.depth,
        patch_size=patch,
        num_heads=module.layers[0].heads,
        mlp_ratio=module.expansion,
        layers=LayerFn(conv_norm_act=partial(ConvNormAct, act_layer=nn.SiLU), act=nn.SiLU),
    )
    return other.double().eval()


def give(module: Mechanism, other: nn.Module) -> None:
    """Copy the weights: both hold them in the order in which they are used."""
    ours, own = module.state_dict(), other.state_dict()
    assert [v.shape for v in ours.values()] == [v.shape for v in own.values()]
    other.load_state_dict(dict(zip(own, ours.values(), strict=True)))


@pytest.mark.parity("mobilevit")
@pytest.mark.parametrize("size", [(6, 8), (7, 5), (1, 1), (2, 3)], ids=str)
@pytest.mark.parametrize("options", [{}, {"patch": 4}, {"depth": 1, "heads": 1}], ids=str)
def test_equals_timms_with_its_weights(size: tuple, options: dict, double: object) -> None:
    module, x = double("mobilevit", 8, **options), torch.randn(2, 8, *size, dtype=torch.float64)
    for parameter in module.parameters():
        parameter.data /= 2
    other = theirs(module, patch=options.get("patch", 2))
    give(module, other)
    expected = other(x)
    torch.testing.assert_close(module(x), expected, rtol=1e-10, atol=1e-10)
    assert expected.std() > 1e-3


def test_looking_sees_one_softmax_for_each_place_and_head(double: object, explicit: object) -> None:
    module, seen = double("mobilevit", 8), []
    x = torch.randn(2, 8, 7, 5, dtype=torch.float64)
    module.layers[0].map.register_forward_hook(lambda _m, _i, formed: seen.append(formed))
    torch.testing.assert_close(explicit(module, x), module(x), rtol=1e-9, atol=1e-9)
    assert seen[0].shape == (2, 4 * 4, 4 * 3, 4 * 3)  # 4 places, 4 heads; 4 rows of 3 patches


@pytest.mark.parametrize(
    ("channels", "width", "depth"), [(96, 144, 2), (128, 192, 4), (160, 240, 3), (64, 96, 2), (80, 120, 4)]
)
def test_parameters_as_timms(channels: int, width: int, depth: int) -> None:
    module = build("mobilevit", channels, depth=depth)
    assert module.width == width  # as in the paper's three networks
    assert module.cost(16, 16).parameters == sum(p.numel() for p in theirs(module).parameters())


def test_refuses_heads_that_do_not_divide_the_width() -> None:
    with pytest.raises(OptionError, match=r"heads: got 5.*24"):
        build("mobilevit", 16, heads=5)
