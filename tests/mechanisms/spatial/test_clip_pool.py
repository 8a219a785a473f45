from __future__ import annotations

import pytest
import torch
from timm.layers import AttentionPool2d
from torch.nn.functional import multi_head_attention_forward

from foveate.errors import OptionError
from foveate.mechanisms.spatial.clip_pool import ClipPool


def new(channels: int, **options: object) -> ClipPool:
    torch.manual_seed(0)
    return ClipPool(channels, **options).double()


def table(module: ClipPool) -> torch.Tensor:
    """The positions as CLIP stores them: (1 + size * size, C), the mean's first."""
    return torch.cat([module.of_mean[None], module.positions.flatten(1).T])


@pytest.mark.parametrize("heads", [1, 4])
def test_equals_the_authors_call(heads: int) -> None:
    """CLIP gives the mean and the positions to PyTorch's attention, the mean alone as the query."""
    module, x = new(16, heads=heads, size=3), torch.randn(2, 16, 3, 3, dtype=torch.float64)
    tokens = x.flatten(2).permute(2, 0, 1)
    tokens = torch.cat([tokens.mean(dim=0, keepdim=True), tokens]) + table(module)[:, None]
    zeros = torch.zeros(16, dtype=torch.float64)
    expected, _ = multi_head_attention_forward(
        tokens[:1], tokens, tokens, 16, heads, None, torch.cat([module.query.bias, zeros, module.value.bias]),
        None, None, False, 0.0, module.merge.weight, module.merge.bias, training=False, need_weights=False,
        use_separate_proj_weight=True, q_proj_weight=module.query.weight, k_proj_weight=module.key.weight,
        v_proj_weight=module.value.weight,
    )  # fmt: skip
    torch.testing.assert_close(module(x), expected[0], rtol=1e-10, atol=1e-12)


def test_equals_timm_with_any_bias_on_the_keys() -> None:
    module, other = new(128, size=5), AttentionPool2d(128, feat_size=5, qkv_separate=True).double().eval()
    for mine, theirs in ((module.query, other.q), (module.value, other.v), (module.merge, other.proj)):
        theirs.load_state_dict(mine.state_dict())
    other.k.load_state_dict({"weight": module.key.weight, "bias": torch.randn(128)})
    other.pos_embed.data = table(module).data
    x = torch.randn(2, 128, 5, 5, dtype=torch.float64)
    torch.testing.assert_close(module(x), other(x), rtol=1e-10, atol=1e-12)


def test_without_queries_it_is_the_projected_mean() -> None:
    module, x = new(16, size=4), torch.randn(2, 16, 4, 4, dtype=torch.float64)
    for parameter in (*module.query.parameters(), module.positions, module.of_mean):
        torch.nn.init.zeros_(parameter)
    torch.testing.assert_close(module(x), module.merge(module.value(x.mean(dim=(2, 3)))))


def test_positions_tell_places_apart_at_any_size() -> None:
    module = new(16, size=3)
    for size in ((3, 3), (8, 5), (1, 6)):
        x = torch.randn(1, 16, *size, dtype=torch.float64)
        assert not torch.allclose(module(x), module(x.flip(3)))


def test_sizes_of_clip() -> None:
    """RN50 pools 2048 channels with 32 heads at 7 x 7; here less its biases on the keys."""
    module = ClipPool(2048, device="meta")
    assert module.heads == 32 and [ClipPool(c).heads for c in (16, 100, 192, 512)] == [1, 1, 3, 8]
    reference = AttentionPool2d(2048, feat_size=7, device="meta")
    assert module.cost(7, 7).parameters == sum(p.numel() for p in reference.parameters()) - 2048
    with pytest.raises(OptionError, match=r"heads: got 5.* 16"):
        ClipPool(16, heads=5)
