"""Families with a word of their own: Mask2Former's masked attention over levels, timm's non-local block."""

import pytest
import torch
from timm.layers import NonLocalAttn
from torch import nn

import foveate as fv
from tests.explain.toys import HF

pytestmark = pytest.mark.filterwarnings("ignore")


def test_masked_cross_attention_looks_at_one_level_after_the_other():
    torch.manual_seed(0)
    model, given = HF["Mask2Former"]()
    model.eval()
    masks = []
    cross = [layer.cross_attn for layer in model.transformer_module.decoder.layers]
    hooks = [
        layer.register_forward_pre_hook(
            lambda _m, _a, kwargs: masks.append(kwargs["attn_mask"]), with_kwargs=True
        )
        for layer in cross
    ]
    with torch.no_grad():
        plain = model(**given).transformer_decoder_last_hidden_state
        masks.clear()
        with fv.record(model) as maps:
            recorded = model(**given).transformer_decoder_last_hidden_state
    for hook in hooks:
        hook.remove()
    assert torch.equal(plain, recorded)
    found = [maps.calls(f"transformer_module.decoder.layers.{n}.cross_attn")[0] for n in range(len(cross))]
    grids = [(call.geometry.keys.height, call.geometry.keys.width) for call in found]
    assert grids == [(3, 2), (6, 4), (12, 8)]  # a picture of 96 x 64 at strides 32, 16 and 8
    for call, mask in zip(found, masks, strict=True):
        assert call.geometry.queries.space == "slots"
        hidden = mask.view(call.weights.shape)
        assert hidden.any() and (call.weights[hidden] == 0).all()
        torch.testing.assert_close(call.weights.sum(-1), torch.ones(call.weights.shape[:-1]))
        shown = call.to_image((96, 64), query=2, head=0)
        assert shown.dropped.abs().max() < 1e-6
    between = maps.calls("transformer_module.decoder.layers.0.self_attn")[0]
    assert between.weights.shape == (2, 2, 5, 5) and between.geometry.keys.space == "slots"


def test_a_non_local_block_of_timm_has_the_places_of_its_map():
    torch.manual_seed(0)
    block = NonLocalAttn(16).eval()
    model, x = nn.Sequential(block), torch.randn(2, 16, 5, 7)
    with torch.no_grad(), fv.record(model) as maps:
        model(x)
    (call,) = maps.in_order
    scores = torch.einsum("bcn,bcm->bnm", block.t(x).flatten(2), block.p(x).flatten(2)) * 16**-0.5
    torch.testing.assert_close(call.weights[:, 0], scores.softmax(-1))
    assert str(call.geometry) == "5×7"
