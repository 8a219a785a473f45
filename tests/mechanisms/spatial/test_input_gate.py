from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d
from torch.utils.flop_counter import FlopCounterMode

from foveate.errors import OptionError
from foveate.mechanisms.spatial.input_gate import InputGate
from foveate.mechanisms.spatial.spatial import SpatialAttention


def opened() -> InputGate:
    torch.manual_seed(0)
    module = InputGate(3, hidden=4).double().eval()
    module.logits.weight.data = torch.randn_like(module.logits.weight)
    for norm in (module.see[1], module.see[4]):
        norm.running_mean.uniform_(-0.1, 0.1)
        norm.running_var.uniform_(0.5, 2)
    return module


def convolved(planes: np.ndarray, kernels: np.ndarray, stride: int) -> np.ndarray:
    return np.stack([sum(map(correlate2d, planes, k, ["same"] * len(planes))) for k in kernels])[
        :, ::stride, ::stride
    ]


def stretched(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear, the centres of the corner pixels not aligned."""
    out = np.empty((height, width))
    for i in range(height):
        for j in range(width):
            total = 0.0
            y = max(0.0, (i + 0.5) * plane.shape[0] / height - 0.5)
            x = max(0.0, (j + 0.5) * plane.shape[1] / width - 0.5)
            for dy in (0, 1):
                for dx in (0, 1):
                    share = (1 - abs(y - int(y) - dy)) * (1 - abs(x - int(x) - dx))
                    row, column = min(int(y) + dy, plane.shape[0] - 1), min(int(x) + dx, plane.shape[1] - 1)
                    total += share * plane[row, column]
            out[i, j] = total
    return out


def test_equals_the_formula_written_out() -> None:
    module, x = opened(), torch.randn(2, 3, 11, 9, dtype=torch.float64)
    expected = []
    for image in x.numpy():
        seen = image
        for conv, norm in ((module.see[0], module.see[1]), (module.see[3], module.see[4])):
            seen = convolved(seen, conv.weight.detach().numpy(), stride=2)
            mean, variance = (s.numpy()[:, None, None] for s in (norm.running_mean, norm.running_var))
            seen = np.maximum(0, (seen - mean) / np.sqrt(variance + 1e-5))
        logits = stretched(convolved(seen, module.logits.weight.detach().numpy(), stride=1)[0], 11, 9)
        expected.append(image * 2 / (1 + np.exp(-logits)))
    np.testing.assert_allclose(module(x).detach(), np.stack(expected), rtol=1e-10, atol=1e-12)


def test_starts_as_the_identity_and_can_leave_it() -> None:
    torch.manual_seed(0)
    module, x = InputGate(3).train(), torch.randn(2, 3, 33, 48)
    assert torch.equal(module(x), x)
    module(x).square().sum().backward()
    assert module.logits.weight.grad.abs().max() > 0
    with torch.no_grad():
        module.logits.weight -= 0.01 * module.logits.weight.grad.sign()
    module.zero_grad()
    module(x).square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in module.parameters())


def test_costs_little_beside_a_backbone() -> None:
    assert InputGate(3).cost(224, 224).macs < 0.05 * 1_814_073_344  # ResNet-18


@pytest.mark.parametrize("kind", ["cbam", "dual"])
def test_every_kind_starts_as_the_identity_and_costs_what_it_says(kind: str) -> None:
    torch.manual_seed(0)
    module, x = InputGate(3, kind=kind).train(), torch.randn(2, 3, 33, 48)
    assert not module.get_parameter(module.gate).any()
    assert torch.equal(module(x), x)
    cost, tensors = module.cost(33, 48), [*module.parameters(), *module.buffers()]
    assert cost.parameters == sum(p.numel() for p in module.parameters())
    assert cost.bytes == sum(t.nbytes for t in tensors)
    with FlopCounterMode(display=False) as counter:
        module(x)
    assert cost.macs == counter.get_total_flops() // 4
    for parameter in module.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    module(x).square().sum().backward()
    # The softmax takes a key's bias out again: its gradient is what rounding leaves.
    assert all(p.grad.abs().max() > 0 for n, p in module.named_parameters() if not n.endswith("key.bias"))


def test_the_cbam_kind_is_spatial_attention_twice() -> None:
    torch.manual_seed(0)
    module, other, x = InputGate(3, kind="cbam").eval(), SpatialAttention(3).eval(), torch.randn(2, 3, 9, 8)
    for parameter in module.logits.parameters():
        torch.nn.init.normal_(parameter)
    other.conv.load_state_dict(module.see[1].state_dict())
    other.norm.load_state_dict(module.logits.state_dict())
    torch.testing.assert_close(module(x), 2 * other(x))


def test_the_dual_kind_compares_the_positions_of_a_small_copy() -> None:
    module = InputGate(3, kind="dual").eval()
    for size, positions in (((40, 70), 32 * 32), ((10, 50), 10 * 32), ((4, 3), 12)):
        attention = module.see[-1]
        seen = []
        attention.position_map.recording = True
        hook = attention.position_map.register_forward_hook(lambda _m, _i, out, seen=seen: seen.append(out))
        module(torch.randn(1, 3, *size))
        hook.remove()
        assert seen[0].shape == (1, positions, positions)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(OptionError, match="kind"):
        InputGate(3, kind="stn")
