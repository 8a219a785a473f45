import time

import numpy as np
import pytest

from foveate.data.checks import duplicates
from foveate.data.checks.duplicates import _candidates, _ones, near_pairs
from foveate.data.checks.probe_files import Probe, probe_pixels
from tests.data.image_samples import pixels


@pytest.mark.parametrize("flips", [0, 1, 7, 8])
def test_candidates_are_exactly_the_pairs_within_seven_bits(flips):
    generator = np.random.default_rng(flips)
    looks = generator.integers(0, 2**64, 300, dtype=np.uint64)
    for item in range(0, 100, 2):  # an item and a copy of it with some bits changed, in different parts
        bits = generator.choice(64, flips, replace=False).astype(np.uint64)
        looks[item + 1] = looks[item] ^ np.bitwise_or.reduce(np.append(np.uint64(1) << bits, np.uint64(0)))
    parts = np.arange(300) % 2
    got = {tuple(sorted(pair)) for pair in _candidates(looks, parts).tolist()}
    wanted = {
        (a, b)
        for a in range(300)
        for b in range(a + 1, 300)
        if parts[a] != parts[b] and int(looks[a] ^ looks[b]).bit_count() <= duplicates.BITS
    }
    assert got == wanted and len(wanted) >= (50 if flips <= 7 else 0)


def test_bits_are_counted_without_numpy_2(monkeypatch):
    words = np.random.default_rng(0).integers(0, 2**64, (5, 7), dtype=np.uint64)
    fast = _ones(words)
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    np.testing.assert_array_equal(_ones(words), fast)
    assert int(fast[2, 3]) == int(words[2, 3]).bit_count()


def test_flat_images_are_not_called_alike():
    flat = [probe_pixels(np.full((20, 20, 3), level, np.uint8)) for level in (10, 10, 12, 200)]
    assert len(near_pairs(flat, np.array([0, 1, 1, 0]))) == 0


def test_images_that_cannot_be_decoded_are_left_out():
    broken = Probe(problem="empty")
    assert len(near_pairs([broken, broken], np.array([0, 1]))) == 0
    assert near_pairs([], np.empty(0, dtype=np.int64)).shape == (0, 2)


def test_what_all_images_share_does_not_make_them_alike():
    anatomy = pixels(0, 64, 64).astype(int)
    noise = np.random.default_rng(0)

    def xray():
        blotches = np.kron(noise.integers(-25, 26, (8, 8, 1)), np.ones((8, 8, 1), int))
        return (anatomy + blotches).clip(0, 255).astype(np.uint8)

    images = [xray() for _ in range(200)]
    images.append((images[0] * 0.9 + 10).astype(np.uint8))
    parts = np.array([0] * 200 + [1])
    parts[150:200] = 1
    assert near_pairs([probe_pixels(image) for image in images], parts).tolist() == [[0, 200]]


@pytest.mark.slow
def test_tens_of_thousands_take_seconds():
    generator = np.random.default_rng(0)
    looks = generator.integers(0, 2**64, 60_000, dtype=np.uint64) & generator.integers(
        0, 2**64, 60_000, dtype=np.uint64
    )
    started = time.perf_counter()
    _candidates(looks, np.arange(60_000) % 6 // 5)
    assert time.perf_counter() - started < 60
