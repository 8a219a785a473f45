"""Windows cover an axis, weigh one in all, and are refused where they cannot."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foveate.errors import OptionError
from foveate.segment.windows import Tiling, axis


@settings(max_examples=30)
@given(
    length=st.integers(1, 90),
    window=st.integers(1, 40),
    overlap=st.floats(0, 0.9),
    blend=st.sampled_from(["gaussian", "linear", "mean"]),
    data=st.data(),
)
def test_weights_sum_to_one_and_windows_overlap_as_asked(length, window, overlap, blend, data):
    stride = max(1, math.floor(window * (1 - overlap) + 1e-9))
    margin = data.draw(st.integers(0, (window - stride) // 2))
    found = axis(length, window, Tiling(window, overlap, blend, margin))
    pixels = max(length, window)
    total = torch.zeros(pixels, dtype=torch.float64)
    for start, weights in zip(found.starts, found.weights, strict=True):
        assert weights.min() >= 0 and 0 <= start <= pixels - window
        total[start : start + window] += weights
    assert (total - 1).abs().max() < 1e-12
    assert found.starts[0] == 0 and found.starts[-1] == pixels - window
    assert all(0 < b - a <= stride for a, b in zip(found.starts, found.starts[1:], strict=False))
    if margin and len(found.starts) > 1:
        assert found.weights[1:, :margin].max() == 0 and found.weights[:-1, -margin:].max() == 0


@pytest.mark.parametrize("length", [1, 2, 3, 7])
def test_short_axes_are_reflected_as_often_as_it_takes(length):
    found = axis(length, 16, Tiling(16))
    up_and_down = [*range(length), *range(length - 2, 0, -1)]
    expected = [up_and_down[(i - found.before) % len(up_and_down)] for i in range(16)]
    assert found.source.tolist() == expected
    assert found.source[found.before : found.before + length].tolist() == list(range(length))


def test_profiles_follow_their_formulas():
    overlap = 0.5  # starts 0, 4 and 8, of 16 pixels
    gauss = [math.exp(-((u - 3.5) ** 2) / 2) for u in range(8)]  # sigma 8 / 8
    line = [min(u + 0.5, 7.5 - u) for u in range(8)]
    for blend, profile in (("gaussian", gauss), ("linear", line), ("mean", [1] * 8)):
        weights = axis(16, 8, Tiling(8, overlap, blend)).weights
        for u in range(4):
            assert weights[1, u].item() == pytest.approx(
                profile[u] / (profile[u] + profile[u + 4]), abs=1e-14
            )
        assert weights[0, :4].tolist() == [1] * 4


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"window": 0}, "no pixels"),
        ({"window": (8, 0)}, "no pixels"),
        ({"overlap": 1.0}, r"\[0, 1\)"),
        ({"overlap": -0.1}, r"\[0, 1\)"),
        ({"blend": "cosine"}, "gaussian, linear, mean"),
        ({"batch_size": 0}, "at least one window"),
        ({"window": 16, "overlap": 0.25, "margin": 3}, "gaps"),
        ({"margin": -1}, "at least 0"),
    ],
)
def test_impossible_windows_are_refused(options, text):
    with pytest.raises(OptionError, match=text):
        Tiling(**options)
