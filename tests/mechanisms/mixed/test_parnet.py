from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from foveate.mechanisms.mixed.parnet import ParNetAttention


def random_parnet(channels: int = 4) -> ParNetAttention:
    torch.manual_seed(0)
    module = ParNetAttention(channels).double().eval()
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5 if "var" in name else torch.randn_like(tensor))
    return module


def normalised(value: Tensor, norm: nn.BatchNorm2d, c: int) -> Tensor:
    return (
        norm.weight[c] * (value - norm.running_mean[c]) / (norm.running_var[c] + norm.eps).sqrt()
        + norm.bias[c]
    )


def test_equals_the_formula_written_out() -> None:
    module, x = random_parnet(), torch.randn(2, 4, 5, 3, dtype=torch.float64)
    around, expected = pad(x, (1, 1, 1, 1)), torch.empty_like(x)
    with torch.no_grad():
        for b, c, i, j in torch.cartesian_prod(*map(torch.arange, x.shape)).tolist():
            point = (module.point.weight[c, :, 0, 0] * x[b, :, i, j]).sum()
            nine = (module.around.weight[c] * around[b, :, i : i + 3, j : j + 3]).sum()
            means = x[b].sum(dim=(1, 2)) / 15
            logit = (module.excite.weight[c, :, 0, 0] * means).sum() + module.excite.bias[c]
            total = normalised(point, module.point_norm, c) + normalised(nine, module.around_norm, c)
            total = total + x[b, c, i, j] / (1 + torch.exp(-logit))
            expected[b, c, i, j] = total / (1 + torch.exp(-total))
    torch.testing.assert_close(module(x), expected, rtol=1e-10, atol=1e-12)


def test_without_convolutions_it_is_an_activated_channel_gate() -> None:
    module, x = random_parnet(), torch.randn(2, 4, 5, 3, dtype=torch.float64)
    for tensor in (module.excite.weight, module.excite.bias):
        nn.init.zeros_(tensor)
    for norm in (module.point_norm, module.around_norm):
        nn.init.zeros_(norm.weight)
        nn.init.zeros_(norm.bias)
    torch.testing.assert_close(module(x), nn.functional.silu(x / 2))


def test_sees_no_further_than_one_position_but_for_the_gates() -> None:
    module, x = random_parnet(), torch.randn(1, 4, 7, 7, dtype=torch.float64)
    changed = x.clone()
    changed[..., 0, 0] += 1
    changed[..., 0, 1] -= 1  # the means stay
    same = torch.isclose(module(changed), module(x)).all(dim=1)[0]
    assert same[2:].all() and same[:, 3:].all() and not same[:2, :3].any()
