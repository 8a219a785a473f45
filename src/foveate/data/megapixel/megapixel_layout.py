"""What is where in megapixel scenes: drawn in the order of the original, so that seeds mean the same.

Paper   Katharopoulos and Fleuret. Processing Megapixel Images with Deep Attention-Sampling Models. ICML 2019.
        arXiv:1905.03711, section 4.1: Megapixel-MNIST, with any small pictures in place of MNIST.
Draws   of NumPy's ``RandomState``: for every scene its class and small pictures; then all places; the noise
        patterns; all places of noise; all choices of patterns. So a scene depends on how many there are.
Shapes  places (row, column) of the upper left corner of a tile, in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

TILE = 28  # pixels a side of a small picture, and of noise
_POINTS, _REACH = 2 * TILE, TILE - 0.51  # of a line of noise
_FLIPPED = 0.33  # share of the lines that are mirrored, each time
_FAINTEST = 0.8  # of the values on a line


@dataclass(frozen=True)
class Scene:
    """One scene.

    Args:
        target: The class that most of its digits have.
        digits: Numbers of the small pictures in their pool, those of the target first (d,).
        places: Where they are (d, 2).
        noise: Where noise is (n, 2); it is painted later, over what is there.
        patterns: Which pattern of noise (n,).
    """

    target: int
    digits: Int64[np.ndarray, " d"]
    places: Int64[np.ndarray, "d 2"]
    noise: Int64[np.ndarray, "n 2"]
    patterns: Int64[np.ndarray, " n"]


def draw_scenes(
    labels: Int64[np.ndarray, " m"],
    *,
    classes: int,
    size: tuple[int, int],
    count: int,
    digits: int,
    noise: int,
    seed: int,
) -> tuple[list[Scene], Float64[np.ndarray, "n 28 28"]]:
    """Return scenes, and the patterns of their noise, in [0, 1].

    Args:
        labels: The class of each small picture in the pool; every class occurs.
        classes: How many there are.
        size: Height and width in pixels.
        count: How many scenes.
        digits: How many small pictures a scene has: a bare majority is of its class.
        noise: How many patterns there are, and tiles of noise in a scene.
        seed: Of the random numbers.
    """
    draw, (height, width) = np.random.RandomState(seed), size
    targets, chosen = _contents(draw, labels, classes, count, digits)
    places = [_places(draw, (height - TILE, width - TILE), digits) for _ in range(count)]
    patterns = noise_patterns(draw, noise)
    room = [height - 2 * TILE, width - 2 * TILE]
    noises = [(draw.rand(noise, 2) * room + TILE).astype(np.int64) for _ in range(count)]
    kinds = [(draw.rand(noise) * noise).astype(np.int64) for _ in range(count)]
    return list(map(Scene, targets, chosen, places, noises, kinds)), patterns


def _contents(
    draw: np.random.RandomState, labels: np.ndarray, classes: int, count: int, digits: int
) -> tuple[list[int], list[np.ndarray]]:
    own = [np.flatnonzero(labels == label) for label in range(classes)]
    others = [np.flatnonzero(labels != label) for label in range(classes)]
    most, targets, chosen = digits // 2 + 1, [], []
    for _ in range(count):
        target = int(draw.rand() * classes)
        same = draw.choice(own[target], most)
        chosen.append(np.concatenate([same, draw.choice(others[target], digits - most)]))
        targets.append(target)
    return targets, chosen


def _places(draw: np.random.RandomState, room: tuple[int, int], digits: int) -> Int64[np.ndarray, "digits 2"]:
    """Return places of which no two tiles overlap."""
    found: list[tuple[int, int]] = []
    while len(found) < digits:
        down, across = draw.rand(2).tolist()
        row, column = round(down * room[0]), round(across * room[1])
        if all(abs(row - other[0]) >= TILE or abs(column - other[1]) >= TILE for other in found):
            found.append((row, column))
    return np.array(found, dtype=np.int64)


def noise_patterns(draw: np.random.RandomState, count: int) -> Float64[np.ndarray, "n 28 28"]:
    """Return patterns of two straight lines each, in [0, 1]."""
    lines = np.zeros((count, TILE, TILE))
    for line, slope in zip(lines, np.tan(draw.rand(count) * np.pi / 2.5), strict=True):
        along = np.linspace(0, min(_REACH, _REACH / slope), _POINTS)
        line[np.round(along).astype(int), np.round(slope * along).astype(int)] = 1
    second = lines.copy()
    draw.shuffle(second)
    for _ in range(2):  # the original mirrors left to right both times
        mirrored = draw.rand(count) < _FLIPPED
        second[mirrored] = second[mirrored][:, :, ::-1]
    return (lines + second > 0) * (_FAINTEST + (1 - _FAINTEST) * draw.rand(count, TILE, TILE))


def boxes(scene: Scene) -> Int64[np.ndarray, "d 4"]:
    """Return the boxes of the digits: top, left, bottom, right in pixels, the last two exclusive."""
    return np.concatenate([scene.places, scene.places + TILE], axis=1)
