"""Pictures below each other and their maps beside them, a column for each method, layer or model.

Shapes  images uint8 (H, W, 3); maps float (h, w), one for each picture and column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure

from foveate.errors import ShapeError
from foveate.explain.drawing.blend import enlarged
from foveate.explain.drawing.drawing import Drawing, bare, one_line, plain_text, styled
from foveate.explain.drawing.mass import map_in_words
from foveate.explain.drawing.overlay import draw_over

SMALL = 160  # pixels of a picture's shorter side, at least


@styled
def map_sheet(
    images: Sequence[UInt8[np.ndarray, "hh ww 3"]],
    columns: Mapping[str, Sequence[Float[np.ndarray, "h w"]]],
    *,
    captions: Sequence[str] = (),
    smooth: bool = True,
    name: str = "sheet",
    title: str = "",
) -> Drawing:
    """Draw the pictures and every column's map of each; every map has its own range of colours.

    Args:
        images: The pictures.
        columns: Heading -> one map for each picture.
        captions: A line under each picture, such as its prediction.
        smooth: Interpolate between the places of a map.
        name: Of the drawing.
        title: Above it.

    Raises:
        ShapeError: There is no picture, or a column does not have one map for each.
    """
    wrong = next((head for head, maps in columns.items() if len(maps) != len(images)), None)
    if not images or wrong is not None:
        got = "no picture" if not images else f"{len(columns[str(wrong)])} maps in {wrong}"
        raise ShapeError(f"map_sheet: got {got}, expected one map for each of {len(images)} pictures")
    wide = 1 + len(columns)
    tall = sum(image.shape[0] / image.shape[1] for image in images)
    figure = Figure(
        figsize=(1.9 * wide, 0.5 + 1.9 * tall + 0.2 * len(images) * bool(captions)), layout="constrained"
    )
    ratios = [image.shape[0] / image.shape[1] for image in images]
    grid = figure.subplots(len(images), wide, squeeze=False, height_ratios=ratios)
    for number, (row, image) in enumerate(zip(grid, images, strict=True)):
        large = enlarged(image, SMALL)
        row[0].imshow(large, interpolation="nearest")
        bare(row[0])
        if captions:
            row[0].set_xlabel(one_line(captions[number], 34), fontsize=7)
            plain_text(row[0])
        for axes, maps in zip(row[1:], columns.values(), strict=True):
            draw_over(axes, large, maps[number], smooth=smooth, contours=(0.5,))
    for axes, heading in zip(grid[0, 1:], columns, strict=True):
        axes.set_title(one_line(heading, 26), fontsize=8)
        plain_text(axes)
    figure.suptitle(one_line(title, 80), fontsize=9, parse_math=False)
    told = " ".join(
        f"Picture {number + 1}, {heading}: {map_in_words(maps[number])}"
        for number in range(len(images))
        for heading, maps in columns.items()
    )
    return Drawing(name, figure, f"{title}. {told}".lstrip(". "))
