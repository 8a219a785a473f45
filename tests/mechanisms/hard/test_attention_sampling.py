"""Attention sampling: the estimate and its gradient against every possible draw, and the authors' library."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from foveate.errors import OptionError, ShapeError
from foveate.large_pictures import PicturesInMemory
from foveate.mechanisms.hard.attention_sampling import AttentionSampling
from foveate.mechanisms.selecting.expectation import with_replacement, without_replacement
from foveate.mechanisms.selecting.places import centred_on_cells
from tests.picture_samples import Mixed

FIXTURE = Path(__file__).with_name("attention_sampling.npz")


def arrays():
    return {name: torch.tensor(value) for name, value in np.load(FIXTURE).items()}


def every_draw(places, number, replace):
    """Yield every sequence of draws."""
    if replace:
        return itertools.product(range(places), repeat=number)
    return itertools.permutations(range(places), number)


def probability(attention, draw, replace):
    """Of a sequence of draws."""
    p, left = 1.0, 1.0
    for place in draw:
        p = p * attention[place] / left
        left = left if replace else left - attention[place]
    return p


def mean_over_draws(z, f, number, estimate, replace):
    """Return the expected estimate, and the expected gradient that it gives to scores and features."""
    total, slopes = 0.0, [0.0, 0.0]
    upstream = torch.linspace(-1, 1, f.shape[1], dtype=f.dtype)
    for draw in every_draw(len(z), number, replace):
        scores, values = z.clone().requires_grad_(), f.clone().requires_grad_()
        attention = scores.softmax(dim=0)
        rows = list(draw)
        found = estimate(values[rows].unsqueeze(0), attention[rows].unsqueeze(0))[0]
        p = float(probability(attention.detach(), draw, replace))
        total = total + p * found.detach()
        grads = torch.autograd.grad((found * upstream).sum(), (scores, values))
        slopes = [slope + p * grad for slope, grad in zip(slopes, grads, strict=True)]
    return total, slopes


def exact(z, f):
    """Return the expectation and its gradient."""
    scores, values = z.clone().requires_grad_(), f.clone().requires_grad_()
    phi = scores.softmax(dim=0) @ values
    upstream = torch.linspace(-1, 1, f.shape[1], dtype=f.dtype)
    return phi.detach(), torch.autograd.grad((phi * upstream).sum(), (scores, values))


def problem():
    torch.manual_seed(3)
    return torch.randn(5, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)


@pytest.mark.parametrize(
    ("replace", "number"), [(False, 1), (False, 2), (False, 3), (False, 5), (True, 1), (True, 2), (True, 3)]
)
def test_over_all_draws_the_estimate_and_its_gradient_are_right(replace, number):
    z, f = problem()
    estimate = with_replacement if replace else without_replacement
    phi, slopes = mean_over_draws(z, f, number, estimate, replace)
    expected, truth = exact(z, f)
    torch.testing.assert_close(phi, expected, rtol=0, atol=1e-12)
    for slope, true in zip(slopes, truth, strict=True):
        torch.testing.assert_close(slope, true, rtol=0, atol=1e-12)


def test_the_authors_gradient_is_biased_from_two_patches_on():
    z, f = problem()

    def reference(values, attention):
        return without_replacement(values, attention, reference=True)

    off = []
    for number in (1, 2, 3):
        _, (slope, to_features) = mean_over_draws(z, f, number, reference, replace=False)
        off.append(float((slope - exact(z, f)[1][0]).norm()))
        torch.testing.assert_close(to_features, exact(z, f)[1][1], rtol=0, atol=1e-12)
    assert off[0] < 1e-12
    assert min(off[1:]) > 0.01


@pytest.mark.parity("attention_sampling")
@pytest.mark.parametrize(
    ("kind", "options", "truth"),
    [
        ("with", {"replace": True}, "with_grad_attention"),
        ("without", {"gradient": "reference"}, "without_grad_attention"),
        ("without", {}, "without_grad_attention_unbiased"),
    ],
)
def test_equals_the_library(kind, options, truth):
    given = arrays()
    module = AttentionSampling(1, **options).train()
    values = given["in/features"].double().requires_grad_()
    attention = given["in/sampled_attention"].double().requires_grad_()
    found = module.pool(values, attention)
    torch.testing.assert_close(found, given[f"out/{kind}_forward"], rtol=1e-7, atol=1e-7)
    slopes = torch.autograd.grad((found * given["in/upstream"]).sum(), (values, attention))
    torch.testing.assert_close(slopes[0], given[f"out/{kind}_grad_features"], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(slopes[1], given[f"out/{truth}"], rtol=2e-6, atol=2e-6)


@pytest.mark.parity("attention_sampling")
def test_patches_lie_where_the_library_puts_them():
    given = arrays()
    points = given["in/points"]
    pictures = PicturesInMemory(torch.zeros(1, 1, 1, 1).expand(1, 1, 1500, 1500))
    found = centred_on_cells(points[..., 0] * 180 + points[..., 1], pictures, 0.12, 50)
    assert torch.equal(found, given["out/patch_starts"])


def test_places_are_drawn_with_their_attention_and_none_twice():
    torch.manual_seed(0)
    module = AttentionSampling(1, patches=3, size=2, scale=1.0).train()
    attention = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).expand(20_000, -1)
    drawn = module._chosen(attention)
    assert (drawn.sort(dim=1).values.diff(dim=1) > 0).all()
    first = drawn[:, 0].bincount(minlength=4) / len(drawn)
    torch.testing.assert_close(first, attention[0], rtol=0, atol=0.015)
    after_0 = drawn[drawn[:, 0] == 0][:, 1].bincount(minlength=4).double()
    expected = torch.tensor([0, 0.6, 0.3, 0.1], dtype=torch.float64)
    torch.testing.assert_close(after_0 / after_0.sum(), expected, rtol=0, atol=0.02)


def test_inference_takes_the_places_of_most_attention_and_divides_by_their_sum():
    torch.manual_seed(0)
    module = AttentionSampling(1, patches=3, size=8, scale=0.25).eval()
    images = torch.rand(2, 1, 40, 32)
    found = module.select(images)
    flat = found.attention.flatten(1)
    assert torch.equal(found.weights, flat.sort(dim=1, descending=True).values[:, :3])
    values = torch.rand(2, 3, 4)
    by_hand = (found.weights.unsqueeze(2) * values).sum(dim=1) / found.weights.sum(dim=1, keepdim=True)
    torch.testing.assert_close(module.pool(values, found.weights), by_hand)
    for place, patch in zip(found.places[1], found.patches[1], strict=True):
        row, column = place.tolist()
        inside = images[1, :, max(row, 0) : row + 8, max(column, 0) : column + 8]
        torch.testing.assert_close(patch.sum(), inside.sum())


def test_a_smaller_picture_of_a_batch_is_not_looked_at_outside():
    torch.manual_seed(0)
    pictures = [torch.rand(1, 40, 60), torch.rand(1, 20, 30)]
    module = AttentionSampling(1, patches=4, size=8, scale=0.1, smoothing=0.1)
    for training in (False, True):
        found = module.train(training).select(Mixed(pictures))
        assert not found.attention[1, 2:].any() and not found.attention[1, :, 3:].any()
        torch.testing.assert_close(found.attention.sum(dim=(1, 2)), torch.ones(2))
    together = module.eval().select(Mixed(pictures))
    alone = module.select(pictures[0].unsqueeze(0))
    assert torch.equal(together.places[:1], alone.places)
    torch.testing.assert_close(together.patches[:1], alone.patches)


def test_wrong_pictures_and_options_are_explained():
    with pytest.raises(ShapeError, match="channels=3"):
        AttentionSampling(1)(Mixed([torch.rand(3, 9, 9)]))
    with pytest.raises(OptionError, match=r"scale: got 1\.5"):
        AttentionSampling(1, scale=1.5)
    with pytest.raises(OptionError, match="smoothing: got 2"):
        AttentionSampling(1, smoothing=2.0)
