"""Windows and boxes that meet, against counting pixels."""

import numpy as np
import pytest

from foveate.data.megapixel.found_digits import found_digits


@pytest.mark.parametrize("seed", range(3))
def test_shares_equal_those_of_counted_pixels(seed):
    draw = np.random.default_rng(seed)
    corners, size = draw.integers(-20, 80, (6, 2)), (25, 30)
    tops = draw.integers(0, 80, (4, 2))
    boxes = np.concatenate([tops, tops + draw.integers(5, 20, (4, 2))], axis=1)
    shows = np.zeros((6, 4), dtype=bool)
    for k, (row, column) in enumerate(corners):
        for n, (top, left, bottom, right) in enumerate(boxes):
            inside = sum(
                row <= y < row + size[0] and column <= x < column + size[1]
                for y in range(top, bottom)
                for x in range(left, right)
            )
            shows[k, n] = 2 * inside >= (bottom - top) * (right - left)
    found = found_digits(corners, size, boxes)
    assert found.looked == pytest.approx(np.mean([row.any() for row in shows]))
    assert found.seen == pytest.approx(np.mean([column.any() for column in shows.T]))
    assert shows.any() and not shows.all()
