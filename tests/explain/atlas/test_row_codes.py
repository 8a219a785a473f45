import numpy as np
import pytest

from foveate.errors import ShapeError
from foveate.explain.atlas.atlas_content import AtlasLayer, Axis
from foveate.explain.atlas.page_text import REPLACED, as_text
from foveate.explain.atlas.row_codes import SIGNED_WORST, WORST, coded


def bytes_of(text, count):
    """Read the text bit by bit."""
    back = {letter: code for code, letter in REPLACED.items()}
    bits = "".join(f"{back.get(letter, ord(letter)):07b}" for letter in text)
    return bytes(int(bits[8 * i : 8 * i + 8], 2) for i in range(count))


@pytest.mark.parametrize("count", [0, 1, 6, 7, 8, 1000])
def test_text_gives_the_bytes_back(count):
    data = np.random.default_rng(count).integers(0, 256, count, dtype=np.uint8).tobytes()
    text = as_text(data)
    assert bytes_of(text, count) == data
    assert not {"\0", "\r", "<"} & {*text}
    assert len(text.encode()) <= 1.2 * count + 2  # base64 takes 1.33


def layer(weights, **axes):
    rows, entries = weights.shape[1:]
    usual = {"queries": Axis(rows), "keys": Axis(entries)}
    return AtlasLayer("a", weights, **{**usual, **axes})


def decoded(found, heads, rows, entries):
    """Return weights and facts as the page reads them, one value at a time."""
    values, count = np.zeros((heads, rows, entries)), heads * rows * entries
    facts = -(-count // 2)
    largest = np.frombuffer(found.data[facts : facts + 2 * heads * rows], "<f2").reshape(heads, rows)
    shares = np.frombuffer(found.data[facts + 2 * heads * rows :], np.uint8).reshape(3, heads, rows) / 255
    for number in range(count):
        byte = found.data[number // 2]
        level = byte & 15 if number % 2 else byte >> 4
        k, r, m = np.unravel_index(number, values.shape)
        most = float(largest[k, r])
        values[k, r, m] = (
            np.sign(level - 8) * most * ((level - 8) / 7) ** 2 if found.signed else most * (level / 15) ** 2
        )
    return values, largest, *shares


@pytest.mark.parametrize("signed", [False, True])
def test_weights_are_off_by_no_more_than_the_page_says(signed):
    weights = np.random.default_rng(0).dirichlet(np.full(7, 0.5), (3, 5))  # an odd number of values
    if signed:
        weights[:, ::2] -= 0.2
    found = coded(layer(weights))
    values, largest, entropy, named, padding = decoded(found, 3, 5, 7)
    assert found.signed == signed
    error = np.abs(values - weights) / np.abs(weights).max(axis=2, keepdims=True)
    assert error.max() <= (SIGNED_WORST if signed else WORST) + 1e-3
    np.testing.assert_allclose(largest, np.abs(weights).max(axis=2), rtol=1e-3)
    p = np.abs(weights) / np.abs(weights).sum(axis=2, keepdims=True)
    np.testing.assert_allclose(entropy, -(p * np.log(p)).sum(axis=2) / np.log(7), atol=0.0021)
    assert not named.any() and not padding.any()


def test_the_bound_is_reached_so_it_is_no_idle_claim():
    ratio = ((15 - 0.5 + 1e-4) / 15) ** 2
    weights = np.array([[[1.0, ratio]]])
    values = decoded(coded(layer(weights)), 1, 1, 2)[0]
    assert values[0, 0, 1] - ratio == pytest.approx(WORST, abs=1e-4)


def test_weight_on_named_tokens_and_on_padding_is_counted_per_window():
    cells = np.array([[[-1], [0], [-1]], [[-1], [1], [2]]])  # of the first window the last entry is padding
    keys = Axis(3, (1, 3), cells, {0: "class"})
    weights = np.array([[[0.5, 0.2, 0.3], [0.1, 0.6, 0.3]]])
    found = coded(layer(weights, keys=keys, sets=np.array([0, 1])))
    _, _, _, named, padding = decoded(found, 1, 2, 3)
    np.testing.assert_allclose(named, [[0.5, 0.1]], atol=0.0021)
    np.testing.assert_allclose(padding, [[0.3, 0.0]], atol=0.0021)


def test_a_row_without_weight_stays_without_it():
    values, largest, entropy, *_ = decoded(coded(layer(np.zeros((1, 2, 4)))), 1, 2, 4)
    assert not values.any() and not largest.any() and not entropy.any()


def test_thinned_queries_keep_their_names_and_places():
    cells = np.concatenate([[-1], np.arange(30)])[None, :, None]
    axis = Axis(31, (5, 6), cells, {0: "class"})
    weights = np.arange(31.0)[None, :, None] * np.ones((1, 1, 31))
    thin = layer(weights, queries=axis, keys=axis).thinned(2)
    assert thin.queries.grid == (3, 3) and thin.queries.names == {0: "class"}
    assert thin.queries.reach == (6 / 5, 1.0)  # the last row of cells reaches beyond the picture
    place = {int(cell): row for row, cell in enumerate(thin.queries.cells[0, :, 0]) if cell >= 0}
    for row in range(3):
        for column in range(3):
            assert thin.weights[0, place[row * 3 + column], 0] == 1 + 12 * row + 2 * column
    assert "2×2" in thin.note


def test_a_layer_whose_parts_do_not_fit_is_refused():
    with pytest.raises(ShapeError, match="expected"):
        AtlasLayer("a", np.zeros((1, 2, 3)), Axis(3), Axis(3))
