from __future__ import annotations

import pytest
import torch
from torch import Tensor

from foveate.mechanisms.branch.layer_weights import LayerWeights

WIDTHS = (3, 4, 5)


def double(**options: object) -> LayerWeights:
    torch.manual_seed(0)
    module = LayerWeights(WIDTHS, maps=3, out_channels=6, **options).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module


def layers() -> list[Tensor]:
    torch.manual_seed(1)
    return [torch.randn(2, w, 8 // s, 6 // s, dtype=torch.float64) for s, w in enumerate(WIDTHS, 1)]


def vectors(module: LayerWeights, maps: list[Tensor], b: int) -> list[Tensor]:
    found = []
    for project, norm, x in zip(module.projections, module.norms, maps, strict=True):
        g = project.weight @ torch.stack([channel.sum() / channel.numel() for channel in x[b]])
        g = (g - g.mean()) / (((g - g.mean()) ** 2).mean() + 1e-5).sqrt()
        found.append(g * norm.weight + norm.bias)
    return found


@pytest.mark.parametrize("kind", ["static", "input"])
def test_equals_the_formula_written_out(kind: str) -> None:
    module, maps = double(kind=kind), layers()
    for b in range(2):
        g = vectors(module, maps, b)
        if kind == "static":
            raised, gamma = [torch.exp(w) for w in module.logits], module.gamma
        else:
            raised = [torch.exp(module.score.weight[0] @ torch.tanh(module.see.weight @ each)) for each in g]
            gamma = 1.0
        expected = gamma * sum(r / sum(raised) * each for r, each in zip(raised, g, strict=True))
        torch.testing.assert_close(module(maps)[b, :, 0, 0], expected, rtol=0, atol=1e-10)


def test_a_fresh_one_is_the_plain_mean() -> None:
    module, maps = LayerWeights(WIDTHS, maps=3, out_channels=6).double(), layers()
    expected = torch.stack([sum(vectors(module, maps, b)) / 3 for b in range(2)])
    torch.testing.assert_close(module(maps).flatten(1), expected)


def test_a_large_weight_chooses_its_layer() -> None:
    module, maps = LayerWeights(WIDTHS, maps=3, out_channels=6).double(), layers()
    module.logits.data[1] = 50.0
    torch.testing.assert_close(module(maps)[0, :, 0, 0], vectors(module, maps, 0)[1])


def test_permuting_layers_with_their_parameters_changes_nothing() -> None:
    module, maps, order = double(), layers(), [2, 0, 1]
    other = LayerWeights(tuple(WIDTHS[i] for i in order), maps=3, out_channels=6).double()
    for to, of in enumerate(order):
        other.projections[to].load_state_dict(module.projections[of].state_dict())
        other.norms[to].load_state_dict(module.norms[of].state_dict())
    other.logits.data, other.gamma.data = module.logits.data[order], module.gamma.data
    torch.testing.assert_close(other([maps[i] for i in order]), module(maps))


def test_parameters_of_the_stages_of_a_resnet() -> None:
    stages, features = (256, 512, 1024, 2048), 3840
    assert LayerWeights(stages).cost(7, 7).parameters == features * 256 + 8 * 256 + 5
    assert LayerWeights(stages, kind="input").cost(7, 7).parameters == features * 256 + 8 * 256 + 256 * 257
