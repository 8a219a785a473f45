from __future__ import annotations

import pytest
import torch
from segmentation_models_pytorch.decoders.pan.decoder import GAUBlock
from torch.nn.functional import conv2d, interpolate

from foveate.mechanisms.query.global_upsample import GlobalAttentionUpsample


def test_parameters_as_published() -> None:
    counts = [GlobalAttentionUpsample(c, gating=32).cost(8, 8).parameters for c in (1024, 512, 256)]
    assert counts == [296_128, 148_672, 74_944]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("sizes", [((8, 10), (4, 5)), ((17, 23), (9, 12)), ((6, 6), (6, 6))])
def test_equals_segmentation_models_pytorch(
    training: bool, sizes: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    torch.manual_seed(0)
    module, other = GlobalAttentionUpsample(12, gating=8), GAUBlock(12, 8)
    for ours, theirs in ((module.weigh, other.conv1[1]), (module.see, other.conv2)):
        ours[1].running_mean.normal_()
        ours[1].running_var.uniform_(0.5, 2)
        theirs.conv.load_state_dict(ours[0].state_dict())
        theirs.bn.load_state_dict(ours[1].state_dict())
    x, g = (torch.randn(2, c, *size, dtype=torch.float64) for c, size in zip((12, 8), sizes, strict=True))
    expected = other.double().train(training)(x, g)
    torch.testing.assert_close(module.double().train(training)(x, g), expected, rtol=0, atol=1e-10)


def test_equals_the_formula_written_out() -> None:
    torch.manual_seed(1)
    module = GlobalAttentionUpsample(3, gating=2, align_corners=False).double().eval()
    x, g = torch.randn(1, 3, 6, 5).double(), torch.randn(1, 2, 3, 3).double()
    y, (weigh, _), (see, _) = module(x, g), module.weigh, module.see
    coarse = interpolate(g, size=(6, 5), mode="bilinear", align_corners=False)
    seen = conv2d(x, see.weight, see.bias, padding=1) / (1 + 1e-5) ** 0.5
    for c in range(2):
        logit = sum(weigh.weight[c, o, 0, 0] * g[0, o].sum() / 9 for o in range(2)) + weigh.bias[c]
        gate = 1 / (1 + torch.exp(-logit / (1 + 1e-5) ** 0.5))
        torch.testing.assert_close(y[0, c], coarse[0, c] + seen[0, c].clamp(min=0) * gate, rtol=0, atol=1e-10)


def test_a_closed_gate_leaves_the_coarse_map() -> None:
    module = GlobalAttentionUpsample(3, gating=2).eval()
    x, g = torch.randn(1, 3, 6, 5), torch.randn(1, 2, 6, 5)
    torch.nn.init.constant_(module.weigh[1].bias, -1e4)
    assert torch.equal(module(x, g), g)


def test_one_image_with_a_map_of_one_position_trains() -> None:
    """Known fault elsewhere: the pooled map has one value a channel, and batch normalisation raises."""
    module = GlobalAttentionUpsample(3, gating=2).train()
    assert module(torch.randn(1, 3, 1, 1), torch.randn(1, 2, 1, 1)).isfinite().all()
