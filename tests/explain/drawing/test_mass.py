import numpy as np
import pytest
from scipy.stats import entropy as scipy_entropy

from foveate.explain.drawing.mass import entropy, map_in_words, mass_levels


def smallest_set(values, share):
    """Return the places that hold this share, by taking the largest one after the other."""
    mass, held, total = np.abs(values).ravel(), 0.0, np.abs(values).sum()
    taken = []
    for place in sorted(range(mass.size), key=lambda i: -mass[i]):
        if held >= share * total - 1e-12:
            break
        taken.append(mass[place])
        held += mass[place]
    return taken


@pytest.mark.parametrize("seed", range(4))
def test_levels_hold_their_share_and_no_smaller_set_does(seed):
    rng = np.random.default_rng(seed)
    values = rng.gamma(0.4, size=(7, 5)) * rng.choice([-1, 1], (7, 5))
    for share, level in zip((0.5, 0.9), mass_levels(values), strict=True):
        inside = np.abs(values)[np.abs(values) >= level]
        assert sorted(inside) == pytest.approx(sorted(smallest_set(values, share)))
        assert inside.sum() >= share * np.abs(values).sum() - 1e-9


@pytest.mark.parametrize("shape", [(3, 4), (1, 9)])
def test_entropy_is_that_of_scipy_over_that_of_an_even_map(shape):
    values = np.random.default_rng(0).random(shape)
    assert entropy(values) == pytest.approx(scipy_entropy(values.ravel()) / np.log(values.size))
    assert entropy(np.ones(shape)) == pytest.approx(1)
    assert entropy(np.eye(1, 12)) == 0


def test_words_name_the_place_as_people_count():
    values = np.zeros((4, 6))
    values[2, 5] = 1.0
    assert "row 3, column 6 (100 %) of 4 rows and 6 columns" in map_in_words(values)
    assert map_in_words(np.zeros((2, 2))) == "The map is zero everywhere."
    assert np.isnan(mass_levels(np.full((2, 2), np.nan))).all()
