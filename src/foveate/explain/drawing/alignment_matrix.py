"""What each word of an answer read of a sentence: a matrix, source words on top, words of the answer left.

Shapes  weights float (T, N), rows sum to 1 where a softmax made them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from foveate.errors import ShapeError
from foveate.explain.drawing.colour import WEIGHTS, Scale
from foveate.explain.drawing.drawing import Drawing, one_line, plain_text, styled
from foveate.explain.drawing.overlay import colour_bar


@styled
def alignment_matrix(
    weights: Float[np.ndarray, "t n"],
    *,
    read: Sequence[str],
    words: Sequence[str],
    name: str = "alignment",
    title: str = "",
) -> Drawing:
    """Draw an alignment. Colours go from 0 to 1 on every one of them, so that two can be compared.

    Args:
        weights: What each word read.
        read: The words of the source, the end of the sentence among them if it was read.
        words: The words of the answer.
        name: Of the drawing.
        title: Above it.

    Raises:
        ShapeError: The numbers of words do not fit.
    """
    if weights.shape != (len(words), len(read)) or not weights.size:
        raise ShapeError(
            f"alignment: got weights {weights.shape}, {len(words)} words and {len(read)} read; expected "
            "weights (words, read)"
        )
    rows, columns = weights.shape
    figure = Figure(figsize=(1.6 + 0.24 * columns, 1.3 + 0.22 * rows), layout="constrained")
    axes = figure.subplots()
    axes.imshow(weights, cmap=WEIGHTS, vmin=0, vmax=max(1.0, float(weights.max())), interpolation="nearest")
    axes.set_xticks(range(columns), [one_line(word, 18) for word in read], rotation=60, ha="left")
    axes.set_yticks(range(rows), [one_line(word, 18) for word in words])
    axes.tick_params(top=True, bottom=False, labeltop=True, labelbottom=False, length=2)
    axes.set_xlabel(one_line(title, 60))
    plain_text(axes)
    colour_bar(figure, axes, Scale(0.0, max(1.0, float(weights.max()))))
    best = weights.argmax(axis=1)
    told = ", ".join(
        f"{word} read {read[place]} ({100 * row[place]:.0f} %)"
        for word, place, row in zip(words, best, weights, strict=True)
    )
    return Drawing(name, figure, f"{title}. Most of what each word read: {told}.".lstrip(". "))
