"""Differentiable patch selection: the gradient by the formula, the fixture and the closed form."""

import json
from pathlib import Path

import numpy as np
import torch

from foveate.mechanisms.hard.perturbed_top_k import PerturbedTopK
from foveate.mechanisms.hard.top_k import perturbed
from tests.picture_samples import Mixed

HERE = Path(__file__).parent


def test_indicators_and_gradient_are_those_of_the_formula():
    given = {name: torch.tensor(value) for name, value in np.load(HERE / "perturbed_top_k.npz").items()}
    scores, noise = given["in/scores"].double().requires_grad_(), given["in/noise"].double()
    found = perturbed(scores, noise, 2, torch.tensor(0.3, dtype=torch.float64))
    torch.testing.assert_close(found, given["out/indicators"], rtol=0, atol=1e-9)
    (slope,) = torch.autograd.grad((found * given["in/upstream"]).sum(), scores)
    torch.testing.assert_close(slope, given["out/gradient"], rtol=1e-9, atol=1e-9)
    for public in ("gradient_published_code", "gradient_dps"):
        assert (slope - given[f"out/{public}"]).abs().max() > 0.1


def test_one_of_several_has_the_closed_form():
    for row in json.loads((HERE / "perturbed_top_1_closed_form.json").read_text())["rows"]:
        torch.manual_seed(0)
        x = torch.tensor(row["scores"], dtype=torch.float64)
        noise = torch.randn(400_000, len(x), dtype=torch.float64)
        sigma = torch.tensor(row["sigma"], dtype=torch.float64)

        def choice(scores, noise=noise, sigma=sigma):
            return perturbed(scores, noise, 1, sigma)[0]

        expected = torch.tensor(row["expected_indicator"], dtype=torch.float64)
        torch.testing.assert_close(choice(x), expected, rtol=0, atol=4e-3)
        jacobian = torch.autograd.functional.jacobian(choice, x)
        truth = torch.tensor(row["jacobian"], dtype=torch.float64)
        torch.testing.assert_close(jacobian, truth, rtol=0, atol=0.02)


def test_inference_cuts_the_best_and_training_mixes_all():
    torch.manual_seed(0)
    images = torch.rand(2, 1, 24, 16)
    module = PerturbedTopK(1, patches=2, size=8, scale=0.5, sigma=0.3).double()
    chosen = module.eval().select(images.double())
    grid = images.unfold(2, 8, 8).unfold(3, 8, 8).flatten(2, 3).transpose(1, 2).double()  # (B, 6, 1, 8, 8)
    best = chosen.attention.flatten(1).topk(2, dim=1).indices.sort(dim=1).values
    for b in range(2):
        torch.testing.assert_close(chosen.patches[b], grid[b, best[b]])
        rows, columns = best[b] // 2, best[b] % 2
        assert torch.equal(chosen.places[b], torch.stack([rows * 8, columns * 8], dim=1))
    module.train()
    torch.manual_seed(1)
    mixed = module.select(images.double()).patches
    module.sigma.fill_(1e-9)
    torch.testing.assert_close(module.select(images.double()).patches, chosen.patches)
    assert not torch.allclose(mixed, chosen.patches)
    low, high = grid.amin(dim=1, keepdim=True), grid.amax(dim=1, keepdim=True)
    assert ((mixed >= low - 1e-9) & (mixed <= high + 1e-9)).all()  # means of patches


def test_nothing_outside_of_a_smaller_picture_is_chosen():
    torch.manual_seed(0)
    pictures = Mixed([torch.rand(1, 40, 40), torch.rand(1, 10, 20)])
    module = PerturbedTopK(1, patches=2, size=10, scale=0.5)
    for training in (False, True):
        found = module.train(training).select(pictures)
        assert (found.places[1] <= torch.tensor([0, 10])).all()
        assert found.patches[1].sum(dim=(1, 2, 3)).min() > 1
