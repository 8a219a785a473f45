import numpy as np
import pytest

from foveate.errors import OptionError
from foveate.explain.drawing.colour import SIGNED, WEIGHTS, palette, scale_of

_LIGHT = np.array([0.2126, 0.7152, 0.0722])


def lightness(colours):
    """Return CIE L*, from sRGB in [0, 1]."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4) @ _LIGHT
    return np.where(linear > 216 / 24389, 116 * np.cbrt(linear) - 16, linear * 24389 / 27)


def test_weights_can_be_read_without_any_colour():
    light = lightness(palette(WEIGHTS))
    assert (np.diff(light) > 0).all() and np.ptp(light) > 80
    assert np.diff(light).max() < 3 * np.diff(light).mean()  # even: no step is seen as an edge


def test_a_signed_map_is_lightest_at_zero():
    light = lightness(palette(SIGNED))
    assert light.argmax() in (127, 128)
    assert (np.diff(light)[:100] > 0).all() and (np.diff(light)[155:] < 0).all()


def test_zero_is_the_middle_of_a_signed_scale_whatever_the_values():
    scale = scale_of(np.array([-1.0, 0.0, 4.0]))
    assert scale.signed and scale.levels(np.array([-4.0, 0.0, 2.0])).tolist() == [0.0, 0.5, 0.75]
    assert not scale_of(np.array([0.0, 4.0])).signed
    assert scale_of(np.array([1.0, 4.0]), signed=True).low == -4.0


def test_extreme_values_are_counted_when_they_are_cut_off():
    values = np.append(np.linspace(0, 1, 99), 50.0)
    whole, most = scale_of(values), scale_of(values, share=0.98)
    assert whole.high == 50 and whole.clipped == 0
    assert most.high < 2 and most.clipped == pytest.approx(0.02) and "2 % of the values" in most.in_words
    with pytest.raises(OptionError, match="share: got 0"):
        scale_of(values, share=0)


def test_unknown_places_are_grey_and_do_not_stretch_the_scale():
    values = np.array([[np.nan, 1.0], [3.0, np.inf]])
    scale = scale_of(values)
    assert (scale.low, scale.high) == (1.0, 3.0)
    assert scale.colours(values)[0, 0].tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("value", [0.0, 0.5, -3e8])
def test_a_map_that_is_the_same_everywhere_is_at_the_start_of_its_scale(value):
    assert scale_of(np.full((4, 4), value)).levels(np.full((4, 4), value)).max() == 0.0
