from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.errors import OptionError
from foveate.mechanisms.label.csra import TEMPERATURES, ClassSpecificResidualAttention


def make(**options: object) -> ClassSpecificResidualAttention:
    torch.manual_seed(0)
    return ClassSpecificResidualAttention(6, **{"classes": 3, **options}).double()


def image() -> Tensor:
    return torch.randn(2, 6, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def authors(module: ClassSpecificResidualAttention, x: Tensor) -> Tensor:
    """The released forward pass, head by head."""
    logits = torch.zeros(())
    for weight, temperature in zip(
        module.classifier.weight.chunk(module.heads), module.temperatures, strict=True
    ):
        score = F.conv2d(x, weight) / torch.norm(weight, dim=1, keepdim=True).transpose(0, 1)
        score = score.flatten(2)
        base = torch.mean(score, dim=2)
        if temperature == 99:
            attended = torch.max(score, dim=2)[0]
        else:
            attended = torch.sum(score * torch.softmax(score * temperature, dim=2), dim=2)
        logits = logits + base + module.lam * attended
    return logits


def test_equals_the_formula_in_loops() -> None:
    module, x = make(lam=0.7, temperatures=(2.0,)), image()
    for b in range(2):
        for q in range(3):
            row = module.classifier.weight[q, :, 0, 0].detach()
            scores = [float(point @ row / row.norm()) for point in x[b].flatten(1).T]
            raised = [math.exp(2.0 * s) for s in scores]
            attended = sum(r * s for r, s in zip(raised, scores, strict=True)) / sum(raised)
            expected = sum(scores) / len(scores) + 0.7 * attended
            assert module(x)[b, q].item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parity("csra")
@pytest.mark.parametrize("heads", sorted(TEMPERATURES))
def test_equals_the_authors_code_with_the_papers_temperatures(heads: int) -> None:
    module = make(heads=heads, lam=0.4)
    torch.testing.assert_close(module(image()), authors(module, image()), rtol=0, atol=1e-12)
    assert len(module.temperatures) == heads


def test_without_the_attended_part_it_is_a_normalised_linear_classifier() -> None:
    module, x = make(lam=0.0), image()
    rows = F.normalize(module.classifier.weight[:, :, 0, 0], dim=1)
    torch.testing.assert_close(module(x), F.linear(x.mean((2, 3)), rows), rtol=0, atol=1e-14)


def test_cold_is_the_mean_and_hot_the_maximum() -> None:
    x, base = image(), make(lam=0.0)(image())
    cold, hot, most = (make(lam=1.0, temperatures=(t,))(x) - base for t in (1e-12, 98.9, 99))
    rows = F.normalize(make().classifier.weight[:, :, 0, 0], dim=1)
    scores = torch.einsum("qc,bcn->bqn", rows, x.flatten(2))
    torch.testing.assert_close(cold, base)
    torch.testing.assert_close(most, scores.amax(2))
    torch.testing.assert_close(hot, scores.amax(2), rtol=0, atol=0.01)


def test_the_length_of_a_classs_weights_changes_nothing() -> None:
    module, x = make(heads=2), image()
    before = module(x)
    with torch.no_grad():
        module.classifier.weight *= torch.rand(6, 1, 1, 1, dtype=torch.float64) * 10 + 0.1
    torch.testing.assert_close(module(x), before)


def test_a_shuffle_of_the_classes_shuffles_the_logits() -> None:
    module, x, order = make(), image(), torch.tensor([2, 0, 1])
    before = module(x)
    module.classifier.weight.data = module.classifier.weight.data[order]
    torch.testing.assert_close(module(x), before[:, order])


def test_maps_sum_to_one_and_the_hottest_is_one_position() -> None:
    module, seen = make(heads=2), []
    module.map.register_forward_hook(lambda _m, _i, weights: seen.append(weights))
    module(image())
    assert seen[0].shape == (2, 2, 3, 4, 5)
    torch.testing.assert_close(seen[0].sum((3, 4)), torch.ones(2, 2, 3, dtype=torch.float64))
    assert seen[0][:, 0].max() < 1 and set(seen[0][:, 1].unique().tolist()) == {0.0, 1.0}


def test_parameters_as_published() -> None:
    assert ClassSpecificResidualAttention(2048, classes=80, heads=4).cost(14, 14).parameters == 655_360


def test_all_zero_weights_give_finite_scores_and_gradients() -> None:
    module, x = make(), image().requires_grad_()
    nn.init.zeros_(module.classifier.weight)
    module(x).sum().backward()
    assert not module(x).any() and module.classifier.weight.grad.isfinite().all()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"heads": 3}, "1, 2, 4, 6, 8"),
        ({"heads": 2, "temperatures": (1.0,)}, "each of 2 heads"),
        ({"temperatures": 1.0}, "temperatures: got 1.0, expected several values"),
        ({"classes": 0}, "classes: got 0"),
    ],
)
def test_impossible_options_are_explained(options: dict[str, object], text: str) -> None:
    with pytest.raises(OptionError, match=text):
        make(**options)
