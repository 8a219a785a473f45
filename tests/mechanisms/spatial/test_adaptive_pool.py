from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from foveate.mechanisms.spatial.adaptive_pool import AdaptivePool
from foveate.mechanisms.spatial.attention_pool import AttentionPool


def make() -> tuple[AdaptivePool, Tensor]:
    torch.manual_seed(0)
    module = AdaptivePool(6, hidden=4).double()
    torch.nn.init.normal_(module.sentinel)
    return module, torch.randn(2, 6, 3, 4, dtype=torch.float64)


def parts(module: AdaptivePool, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the result, the weights of the positions and beta."""
    seen: list[Tensor] = []
    hooks = [t.register_forward_hook(lambda *a: seen.append(a[2])) for t in (module.map, module.abstention)]
    output = module(x)
    for hook in hooks:
        hook.remove()
    return output, seen[0].detach(), seen[1].detach()


@torch.no_grad()
def test_equals_the_formula_in_loops() -> None:
    module, x = make()
    w, big, b = module.score.weight[0, :, 0, 0], module.embed.weight[:, :, 0, 0], module.embed.bias
    output, weights, beta = parts(module, x)
    for image in range(2):
        entries = [*x[image].flatten(1).T, module.sentinel]
        raised = [math.exp(float(w @ (big @ entry + b).tanh())) for entry in entries]
        expected = sum(r / sum(raised) * entry for r, entry in zip(raised, entries, strict=True))
        torch.testing.assert_close(output[image], expected, rtol=0, atol=1e-12)
        assert beta[image].item() == pytest.approx(raised[-1] / sum(raised), abs=1e-12)
    torch.testing.assert_close(weights.sum(dim=(2, 3)) + beta, torch.ones(2, 1, dtype=torch.float64))


@pytest.mark.parametrize(("sign", "abstains"), [(1, 1.0), (-1, 0.0)])
def test_abstains_wholly_or_not_at_all(sign: int, abstains: float) -> None:
    module, x = make()
    module.sentinel.data.fill_(1e6)  # its tanh is 1 then, with equal weights below
    module.embed.weight.data.fill_(0.01)
    module.score.weight.data.fill_(sign * 1e4)
    output, _, beta = parts(module, x)
    assert torch.equal(beta, torch.full_like(beta, abstains))
    plain = AttentionPool(6, hidden=4).double()
    plain.load_state_dict({k: v for k, v in module.state_dict().items() if k != "sentinel"})
    expected = module.sentinel.expand(2, 6) if abstains else plain(x)
    torch.testing.assert_close(output, expected)
