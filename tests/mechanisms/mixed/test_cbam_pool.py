from __future__ import annotations

import torch
from timm.layers.cbam import CbamModule

from foveate.mechanisms.mixed.cbam_pool import CBAMPool


def test_is_the_mean_of_what_timm_gates() -> None:
    torch.manual_seed(0)
    module, x = CBAMPool(32).double().eval(), torch.randn(2, 32, 6, 5, dtype=torch.float64)
    attend, other = module.attend, CbamModule(32, mlp_bias=True).double().eval()
    torch.nn.init.constant_(attend.spatial.norm.weight, 1.5)
    other.channel.fc1.load_state_dict(attend.channel.squeeze.state_dict())
    other.channel.fc2.load_state_dict(attend.channel.excite.state_dict())
    other.spatial.conv.conv.weight.data = attend.spatial.conv.weight.data.flip(1)
    other.spatial.conv.bn.load_state_dict(attend.spatial.norm.state_dict())
    torch.testing.assert_close(module(x), torch.nn.functional.adaptive_avg_pool2d(other(x), 1).flatten(1))


def test_without_weights_it_is_a_quarter_of_the_mean() -> None:
    module, x = CBAMPool(32), torch.randn(2, 32, 5, 5)
    for parameter in module.attend.channel.parameters():
        torch.nn.init.zeros_(parameter)
    torch.testing.assert_close(module(x), x.mean(dim=(2, 3)) / 4)
