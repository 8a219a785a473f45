from __future__ import annotations

import numpy as np
import torch
from scipy.signal import correlate2d

from foveate.mechanisms.spatial.input_gate import InputGate


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
