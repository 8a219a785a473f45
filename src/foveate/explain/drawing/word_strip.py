"""A panel for each word: the photo, bright where the model looked when it wrote the word.

Shapes  image uint8 (H, W, 3); weights float (T, h, w), one map for each word; elsewhere float (T,), the
        share of each word that a sentinel or gate took away from the picture.
Source  Xu et al., Show, Attend and Tell, ICML 2015, figure 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure

from foveate.errors import ShapeError
from foveate.explain.drawing.blend import expect_pair
from foveate.explain.drawing.drawing import Drawing, bare, one_line, plain_text, styled
from foveate.explain.drawing.mass import map_in_words
from foveate.explain.drawing.overlay import draw_over

COLUMNS = 5
ALIKE = 0.9  # mean correlation of the words' maps from which on the text warns


@styled
def word_strip(
    image: UInt8[np.ndarray, "hh ww 3"],
    words: Sequence[str],
    weights: Float[np.ndarray, "t h w"],
    *,
    elsewhere: Float[np.ndarray, " t"] | None = None,
    hard: bool = False,
    name: str = "words",
    title: str = "",
) -> Drawing:
    """Draw where a model looked for each word of its answer, five words a row, the picture first.

    Args:
        image: The picture.
        words: The words.
        weights: A map for each.
        elsewhere: What did not go to the picture, for each word, in [0, 1]; printed on its panel.
        hard: Whether the model chose one place for each word: its cell is outlined.
        name: Of the drawing.
        title: Above it.

    Raises:
        ShapeError: The numbers of words, maps and shares differ.
    """
    if weights.ndim != 3 or len(words) != len(weights) or not len(words):
        raise ShapeError(
            f"word_strip: got {len(words)} words and maps {weights.shape}, expected one map (h, w) each"
        )
    if elsewhere is not None and len(elsewhere) != len(words):
        raise ShapeError(f"elsewhere: got {len(elsewhere)} shares for {len(words)} words")
    expect_pair(image, weights[0])
    rows = -(-(len(words) + 1) // COLUMNS)
    height, width = image.shape[:2]
    figure = Figure(figsize=(7.2, 0.4 + rows * (0.2 + 1.4 * height / width)), layout="constrained")
    grid = figure.subplots(rows, COLUMNS, squeeze=False)
    for axes in grid.flat:
        bare(axes)
    grid.flat[0].imshow(image)
    for number, (axes, word, values) in enumerate(zip(grid.flat[1:], words, weights, strict=False)):
        draw_over(axes, image, values, contours=() if hard else (0.5,), smooth=not hard)
        if hard:
            _outline(axes, values, image.shape[:2])
        beside = "" if elsewhere is None else f"  ({100 * elsewhere[number]:.0f} % elsewhere)"
        axes.set_title(one_line(word, 20) + beside, fontsize=8)
        plain_text(axes)
    alike = mean_correlation(weights)
    figure.suptitle(one_line(title, 80), fontsize=9, parse_math=False)
    warning = (
        " The maps hardly differ from word to word: they do not show which place a word came from."
        if alike > ALIKE
        else ""
    )
    told = " ".join(f"{word}: {map_in_words(values)}" for word, values in zip(words, weights, strict=True))
    mean = "" if np.isnan(alike) else f" Mean correlation between the maps of two words: {alike:.2f}."
    return Drawing(name, figure, f"{title}.{mean}{warning} {told}".lstrip(". "))


def mean_correlation(weights: Float[np.ndarray, "t h w"]) -> float:
    """Return the mean correlation between the maps of two words; NaN where none is defined."""
    flat = weights.reshape(len(weights), -1).astype(np.float64)
    flat = flat - flat.mean(axis=1, keepdims=True)
    size = np.linalg.norm(flat, axis=1)
    flat = flat[size > 0] / size[size > 0, None]
    pairs = (flat @ flat.T)[np.triu_indices(len(flat), 1)]
    return float(pairs.mean()) if pairs.size else float("nan")


def _outline(axes: object, values: np.ndarray, size: tuple[int, int]) -> None:
    from matplotlib.patches import Rectangle

    row, column = np.unravel_index(values.argmax(), values.shape)
    high, wide = size[0] / values.shape[0], size[1] / values.shape[1]
    cell = Rectangle((column * wide - 0.5, row * high - 0.5), wide, high, fill=False, ec="white", lw=1.6)
    axes.add_patch(cell)  # type: ignore[attr-defined]
