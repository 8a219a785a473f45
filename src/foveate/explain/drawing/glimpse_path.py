"""The path of glimpses over a picture: the squares that were seen at each step, numbered and joined.

Shapes  image uint8 (H, W, 3); centres float (T, 2), rows and columns in pixels; sides float (S,), of the
        square of each scale, in pixels.
Source  Mnih et al., Recurrent Models of Visual Attention, NeurIPS 2014, figure 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib import colormaps, patheffects
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from foveate.errors import ShapeError
from foveate.explain.drawing.blend import enlarged
from foveate.explain.drawing.drawing import Drawing, bare, one_line, plain_text, styled

_PALETTE = "viridis"


@styled
def glimpse_path(
    image: UInt8[np.ndarray, "hh ww 3"],
    centres: Float[np.ndarray, "t 2"],
    sides: Sequence[float],
    *,
    weights: Float[np.ndarray, " t"] | None = None,
    name: str = "glimpses",
    title: str = "",
) -> Drawing:
    """Draw where a model looked step by step; or, with weights, the patches that it chose.

    Args:
        image: The picture.
        centres: (row, column) of each glimpse, in pixels of the picture; may lie outside.
        sides: Of the squares of one glimpse, one for each scale, in pixels of the picture.
        weights: Probability of each patch; glimpses without an order are not joined.
        name: Of the drawing.
        title: Above it.

    Raises:
        ShapeError: The numbers of centres and weights differ, or there is none.
    """
    if centres.ndim != 2 or centres.shape[1] != 2 or not len(centres) or not len(sides):
        raise ShapeError(f"centres: got {centres.shape} and {len(sides)} sides, expected (T, 2) and one side")
    if weights is not None and len(weights) != len(centres):
        raise ShapeError(f"weights: got {len(weights)} for {len(centres)} glimpses")
    large = enlarged(image)
    times = large.shape[0] / image.shape[0]
    figure = Figure(figsize=(4.0, 0.4 + 4.0 * large.shape[0] / large.shape[1]), layout="constrained")
    axes = figure.subplots()
    axes.imshow(large, interpolation="nearest")
    bare(axes)
    rows, columns = (times * centres).T - 0.5
    colours = colormaps[_PALETTE](np.linspace(0.15, 1, len(centres)))
    halo: list[patheffects.AbstractPathEffect] = [patheffects.withStroke(linewidth=2.6, foreground="black")]
    if weights is None and len(centres) > 1:
        axes.plot(columns, rows, color="white", lw=1.0, path_effects=halo)
    for step, (row, column, colour) in enumerate(zip(rows, columns, colours, strict=True)):
        for side in sides:
            half = times * side / 2
            square = Rectangle((column - half, row - half), 2 * half, 2 * half, fill=False, ec=colour, lw=1.3)
            square.set_path_effects(halo)
            axes.add_patch(square)
        mark = str(step + 1) if weights is None else f"{100 * weights[step]:.0f} %"
        axes.text(column, row, mark, color="white", fontsize=8, ha="center", va="center", path_effects=halo)
    axes.set_xlim(-0.5, large.shape[1] - 0.5)
    axes.set_ylim(large.shape[0] - 0.5, -0.5)
    axes.set_title(one_line(title, 60), fontsize=9)
    plain_text(axes)
    told = ", ".join(f"{step + 1}: row {r:.0f}, column {c:.0f}" for step, (r, c) in enumerate(centres))
    return Drawing(
        name,
        figure,
        f"{title}. Centres in pixels: {told}. Sides: {', '.join(f'{s:g}' for s in sides)}.".lstrip(". "),
    )
