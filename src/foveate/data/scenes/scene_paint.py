"""Pixels of a scene: a coloured ground, strokes of clutter, digits and their marks."""

from __future__ import annotations

from functools import cache

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8
from PIL import Image
from sklearn.datasets import load_digits

from foveate.data.scenes.scene_layout import Layout, SceneOptions, raw, uniform

MARK = (255, 50, 40)  # the one hue that means "this digit counts"
OTHER_MARKS = ((40, 200, 70), (60, 110, 255), (30, 200, 210))
SHARES = (0.6, 0.2, 0.2)  # of the handwritten samples, for train, val and test: no sample is in two splits
_PARTITION_SEED = 20_180  # not the user's: test digits of one seed must not be training digits of another


def paint(options: SceneOptions, scenes: Layout, split: int, first: int) -> UInt8[np.ndarray, "n s s 3"]:
    """Return the images of a layout whose first scene has the number ``first``."""
    count, size, digits = len(scenes.labels), options.size, options.digits
    width = 9 + 3 * digits + 7 * options.strokes
    draws = uniform(options.seed, split, "paint", first, count, width).astype(np.float32)
    canvas = _ground(draws[:, :9], size)
    flat = canvas.reshape(count, size * size, 3)
    _strokes(flat, draws[:, 9 + 3 * digits :].reshape(count, options.strokes, 7), size)
    _digits(flat, options, scenes, draws[:, 9 : 9 + 3 * digits].reshape(count, digits, 3), split)
    words = -(-size * size * 3 // 8)
    noise = raw(options.seed, split, "noise", first, count, words)
    grain = np.ascontiguousarray(noise).view(np.uint8)[:, : size * size * 3].reshape(canvas.shape)
    return (canvas + (grain >> 4) - 8).clip(0, 255).astype(np.uint8)


def mark_mask(options: SceneOptions) -> Bool[np.ndarray, "b b"]:
    """Return which pixels of a digit's box belong to the mark and what it encloses."""
    return _frames(options.box)[0]


def _ground(draws: Float32[np.ndarray, "n 9"], size: int) -> Float32[np.ndarray, "n s s 3"]:
    """Return a dark colour that drifts over the image."""
    base = 15 + 75 * draws[:, None, None, :3]
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    down = (50 * draws[:, None, None, 3:6] - 25) * ramp[:, None, None]
    across = (50 * draws[:, None, None, 6:9] - 25) * ramp[:, None]
    return base + down + across


def _strokes(flat: Float32[np.ndarray, "n p 3"], draws: Float32[np.ndarray, "n k 7"], size: int) -> None:
    """Draw straight lines of up to a third of the image, in any colour."""
    count = len(flat)
    longest = size / 3
    steps = np.linspace(0, 1, int(2 * longest), dtype=np.float32)
    angle = 2 * np.pi * draws[..., 2:3]
    length = longest * (0.3 + 0.7 * draws[..., 3:4])
    colours = np.broadcast_to((30 + 190 * draws[..., 4:7])[:, :, None], (*draws.shape[:2], len(steps), 3))
    rows = np.arange(count)[:, None, None]
    for offset in range(max(1, size // 32)):
        y = (draws[..., 0:1] * size + np.sin(angle) * length * steps).astype(np.int64) + offset
        x = (draws[..., 1:2] * size + np.cos(angle) * length * steps).astype(np.int64) + offset
        flat[rows, y.clip(0, size - 1) * size + x.clip(0, size - 1)] = colours


def _digits(
    flat: Float32[np.ndarray, "n p 3"],
    options: SceneOptions,
    scenes: Layout,
    draws: Float32[np.ndarray, "n k 3"],
    split: int,
) -> None:
    """Blend every digit and its mark into the canvas; boxes never overlap, so all at once."""
    box, size, count = options.box, options.size, len(flat)
    _, ring, inner = _frames(box)
    ink = _ink(inner, split)
    start, number = _pools(split)
    chosen = start[scenes.digits] + (scenes.picks * number[scenes.digits]).astype(np.int64)
    alpha = np.zeros((*scenes.digits.shape, box, box), dtype=np.float32)
    edge = (box - inner) // 2
    alpha[:, :, edge : edge + inner, edge : edge + inner] = ink[chosen]
    marks = np.array([MARK, *OTHER_MARKS, (0, 0, 0)], dtype=np.float32)[scenes.marks]
    colour = (150 + 105 * draws)[:, :, None, None]
    colour = np.where(ring[:, :, None], marks[:, :, None, None], colour)
    alpha = np.where(ring, (scenes.marks >= 0)[:, :, None, None], alpha)[..., None]
    offsets = np.arange(box)[:, None] * size + np.arange(box)
    places = (scenes.tops * size + scenes.lefts)[:, :, None, None] + offsets
    rows = np.arange(count)[:, None, None, None]
    under = flat[rows, places]
    flat[rows, places] = under + alpha * (colour - under)


@cache
def _frames(box: int) -> tuple[Bool[np.ndarray, "b b"], Bool[np.ndarray, "b b"], int]:
    """Return the area of a mark, its rim, and how many pixels a side the digit inside has."""
    thick = max(1, box // 12)
    reach = np.abs(np.arange(box) - (box - 1) / 2)
    corner = reach[:, None] + reach < 0.86 * box  # cut corners: a frame, not a filled square
    area = corner & (np.maximum(reach[:, None], reach) < box / 2)
    rim = area & (
        (np.maximum(reach[:, None], reach) > box / 2 - thick)
        | (reach[:, None] + reach > 0.86 * box - thick - 0.5)
    )
    return area, rim, box - 4 * thick


@cache
def digit_samples(split: int) -> tuple[Float32[np.ndarray, "n 8 8"], Int64[np.ndarray, " n"]]:
    """Return the handwritten digits of a split, sorted by class, in [0, 1]."""
    digits = load_digits()
    order = np.random.Generator(np.random.Philox(_PARTITION_SEED)).permutation(len(digits.target))
    edges = np.cumsum((0.0, *SHARES))
    chosen = []
    for label in range(10):
        members = order[digits.target[order] == label]
        low, high = (round(edge * len(members)) for edge in edges[split : split + 2])
        chosen.append(members[low:high])
    index = np.concatenate(chosen)
    return (digits.images[index] / 16).astype(np.float32), digits.target[index].astype(np.int64)


@cache
def _pools(split: int) -> tuple[Int64[np.ndarray, " 10"], Int64[np.ndarray, " 10"]]:
    """Return where the samples of each class start, and how many there are."""
    _, targets = digit_samples(split)
    number = np.bincount(targets, minlength=10)
    return np.cumsum(number) - number, number


@cache
def _ink(side: int, split: int) -> Float32[np.ndarray, "n d d"]:
    """Return all samples of a split at ``side`` pixels, with equal ink, so that a mean tells no digit."""
    images, _ = digit_samples(split)
    scaled = np.stack(
        [
            np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))
            for image in images
        ]
    ).clip(0, 1)
    amount = scaled.mean(axis=(1, 2), keepdims=True)
    return (scaled * (amount.min() / amount) ** 0.5).clip(0, 1)
