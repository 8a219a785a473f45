import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from foveate.errors import DataError, OptionError
from foveate.tasks.losses import class_weights
from foveate.tasks.losses.weights import METHODS

COUNTS = torch.tensor([[60, 30, 10, 0], [0, 40, 60, 0], [95, 0, 5, 0]])


def test_inverse_is_what_is_called_balanced():
    labels = np.repeat([0, 1, 2], COUNTS.sum(0)[:3])
    balanced = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(class_weights(COUNTS, "inverse")[:3], balanced, rtol=1e-6)


def test_median_frequency_divides_by_the_images_that_have_the_class():
    frequency = np.array([155 / 200, 70 / 200, 75 / 300])
    expected = 70 / 200 / frequency
    np.testing.assert_allclose(class_weights(COUNTS, "median_frequency")[:3], expected, rtol=1e-6)


def test_effective_number_is_a_geometric_sum():
    beta, n = 0.99, COUNTS.sum(0)[:3].tolist()
    raw = np.array([1 / sum(beta**i for i in range(count)) for count in n])
    found = class_weights(COUNTS, "effective", beta=beta)[:3]
    np.testing.assert_allclose(found, raw / raw.mean(), rtol=1e-6)
    np.testing.assert_allclose(class_weights(COUNTS, "effective", beta=0)[:3], 1)


def test_log_is_enets():
    share = np.array([155, 70, 75]) / 300
    np.testing.assert_allclose(class_weights(COUNTS, "log")[:3], 1 / np.log(1.02 + share), rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_rarer_classes_weigh_more_and_absent_ones_nothing(method):
    for counts in (torch.tensor([1000, 100, 10, 0]), np.array([1000, 100, 10, 0])):
        a, b, c, absent = class_weights(counts, method).tolist()
        assert 0 < a < b < c < float("inf") and absent == 0


def test_what_is_no_count_is_refused():
    for wrong in (torch.zeros(3), torch.tensor([1, -1]), torch.ones(1, 1, 1), torch.zeros(0)):
        with pytest.raises(DataError, match=r"expected \(K,\) or \(N, K\)"):
            class_weights(wrong)
    with pytest.raises(OptionError, match="method: got 'sqrt', expected one of inverse"):
        class_weights(COUNTS, "sqrt")
    with pytest.raises(OptionError, match="beta: got 1"):
        class_weights(COUNTS, "effective", beta=1)
