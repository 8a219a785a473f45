from __future__ import annotations

import pytest
import torch
from timm.layers import create_attn
from torch.nn.functional import layer_norm

from foveate.mechanisms.channel.gc import GlobalContext
from foveate.mechanisms.kernels.position_scores import softmax_pooled


def random_gc(channels: int = 8, **options: object) -> GlobalContext:
    torch.manual_seed(0)
    module = GlobalContext(channels, **options).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module


@pytest.mark.parametrize("fuse", ["add", "scale"])
def test_equals_the_formula_written_out(fuse: str) -> None:
    module, x = random_gc(fuse=fuse, reduction=2), torch.randn(2, 8, 4, 3, dtype=torch.float64)
    w, b = module.score.weight[0, :, 0, 0], module.score.bias[0]
    expected = []
    for image in x:
        places = [(i, j) for i in range(4) for j in range(3)]
        energies = [torch.exp(w @ image[:, i, j] + b) for i, j in places]
        context = sum(e * image[:, i, j] for e, (i, j) in zip(energies, places, strict=True)) / sum(energies)
        hidden = layer_norm(
            module.squeeze.weight @ context + module.squeeze.bias, (4,), module.norm.weight, module.norm.bias
        )
        change = module.excite.weight @ hidden.relu() + module.excite.bias
        pixels = [image[:, i, j] for i, j in places]
        changed = [p + change if fuse == "add" else p / (1 + torch.exp(-change)) for p in pixels]
        expected.append(torch.stack(changed, dim=1).unflatten(1, (4, 3)))
    torch.testing.assert_close(module(x), torch.stack(expected), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("theirs", "fuse"), [("gca", "add"), ("gc", "scale")])
def test_equals_timm(theirs: str, fuse: str) -> None:
    torch.manual_seed(0)
    other, module = create_attn(theirs, 256), GlobalContext(256, reduction=8, fuse=fuse)
    torch.nn.init.normal_(module.excite.weight)
    module.norm.eps = 1e-6  # the authors take 1e-5
    layers = other.mlp_add if fuse == "add" else other.mlp_scale
    pairs = (module.score, other.conv_attn), (module.squeeze, layers.fc1), (module.norm, layers.norm)
    for ours, copied in (*pairs, (module.excite, layers.fc2)):
        copied.load_state_dict({k: v.view_as(copied.state_dict()[k]) for k, v in ours.state_dict().items()})
    assert sum(p.numel() for p in module.parameters()) == sum(p.numel() for p in other.parameters()) == 16_993
    x = torch.randn(2, 256, 6, 5)
    torch.testing.assert_close(module(x), other(x), rtol=1e-5, atol=1e-5)


def test_a_constant_added_to_all_scores_changes_nothing() -> None:
    """Known fault elsewhere: a softmax that is built but never applied."""
    module, x = random_gc(), torch.randn(2, 8, 5, 4, dtype=torch.float64)
    before = module(x)
    module.score.bias.data += 3
    torch.testing.assert_close(module(x), before)


def test_equal_scores_give_the_mean() -> None:
    module, x = random_gc(), torch.randn(2, 8, 5, 4, dtype=torch.float64)
    torch.nn.init.zeros_(module.score.weight)
    context = softmax_pooled(module.score, x, module.map, shared=True)[1]
    torch.testing.assert_close(context, x.mean(dim=(2, 3)))


def test_starts_as_the_identity_only_where_it_adds() -> None:
    """Known fault elsewhere: the last weight is zeroed and its bias is not."""
    x = torch.randn(2, 64, 5, 4)
    assert torch.equal(GlobalContext(64)(x), x)
    scale = GlobalContext(64, fuse="scale")
    assert scale.gate is None and not torch.allclose(scale(x), x)


@pytest.mark.parametrize("channels", [1, 8, 16])
def test_few_channels_still_pass_on_the_context(channels: int) -> None:
    """Known fault elsewhere: with a hidden layer of 1 the normalisation takes the context out."""
    module = random_gc(channels)
    torch.nn.init.ones_(module.norm.bias)
    x = torch.randn(2, channels, 4, 4, dtype=torch.float64)
    change = (module(x) - x).mean(dim=(2, 3))
    assert not torch.allclose(change[0], change[1])
