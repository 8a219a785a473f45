import itertools
import math

import numpy as np
import pytest
import torch

from foveate.errors import OptionError, ShapeError
from foveate.tasks.losses import category_consistent
from tests.tasks.losses.test_losses import example


def written_out(features, targets, near=0.5, far=1.5, length_weight=0.001):
    of_class = {}
    for place in np.ndindex(*targets.shape):
        if targets[place] != 255:
            x = features[(place[0], slice(None), *place[1:])].numpy()
            of_class.setdefault(int(targets[place]), []).append(x)
    means = {c: np.mean(members, axis=0) for c, members in of_class.items()}

    def cost(d):
        return 0 if d <= near else (d - near) ** 2 if d <= far else d - far + (far - near) ** 2

    variance = np.mean([np.mean([cost(math.dist(x, means[c])) for x in of_class[c]]) for c in means])
    pairs = list(itertools.permutations(means, 2))
    gaps = [max(0, 2 * far - math.dist(means[a], means[b])) ** 2 for a, b in pairs]
    return (
        variance
        + (np.mean(gaps) if pairs else 0)
        + length_weight * np.mean([*map(np.linalg.norm, means.values())])
    )


@pytest.mark.parametrize("scale", [0.1, 1, 5])
@pytest.mark.parametrize("options", [{}, {"near": 0.2, "far": 0.9, "length_weight": 0.5}])
def test_it_is_the_formula(scale, options):
    features, targets = example()
    found = category_consistent(scale * features, targets, **options)
    assert found.item() == pytest.approx(written_out(scale * features, targets, **options))


def test_gradient_is_that_of_the_value():
    features, targets = example(size=(3, 3), batch=2)
    assert torch.autograd.gradcheck(lambda x: category_consistent(x, targets), features.requires_grad_())


def test_one_class_and_equal_features_have_finite_gradients():
    features = torch.zeros(1, 3, 2, 2, requires_grad=True)
    value = category_consistent(features, torch.zeros(1, 2, 2, dtype=torch.long))
    value.backward()
    assert value.item() == 0 and not features.grad.any()


def test_nothing_known_is_0_and_teaches_nothing():
    features = torch.randn(1, 3, 2, 2, requires_grad=True)
    value = category_consistent(features, torch.full((1, 2, 2), 255))
    value.backward()
    assert value.item() == 0 and not features.grad.any()


def test_what_does_not_fit_is_refused():
    features, targets = example()
    with pytest.raises(ShapeError):
        category_consistent(features[:, :, ::2], targets)
    with pytest.raises(OptionError, match=r"far: got 0\.1, expected at least near=0\.5"):
        category_consistent(features, targets, far=0.1)
