"""Every layer and head at once: one small map each, rows the layers, columns the heads.

Shapes  a layer's maps float (K, h, w), one for each head; layers may differ in heads and in size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from PIL import Image

from foveate.errors import OptionError, ShapeError
from foveate.explain.drawing.blend import resized
from foveate.explain.drawing.colour import scale_of
from foveate.explain.drawing.drawing import Drawing, one_line, plain_text, styled
from foveate.explain.drawing.mass import entropy
from foveate.explain.drawing.overlay import colour_bar

CELL, GAP = 64, 3  # pixels
MOST = 36  # columns; of more heads the first ones are drawn, and the text says so
Range = Literal["each", "all"]


@styled
def head_grid(
    layers: Mapping[str, Float[np.ndarray, "k h w"]],
    *,
    image: UInt8[np.ndarray, "hh ww 3"] | None = None,
    name: str = "heads",
    title: str = "",
    range: Range = "each",  # the field's word for it
) -> Drawing:
    """Draw the maps of all heads of all layers.

    Args:
        layers: Path of the layer -> its maps, first layer first.
        image: The picture, drawn in the corner.
        name: Of the drawing.
        title: Above it.
        range: Whether each map has its own range of colours, or all share one.

    Raises:
        ShapeError: There is no layer, or one does not have maps of heads.
        OptionError: ``range`` is not one of its values.
    """
    if range not in ("each", "all"):
        raise OptionError(f'range: got {range!r}, expected "each" or "all"')
    wrong = next(((path, m.shape) for path, m in layers.items() if m.ndim != 3 or not m.size), None)
    if wrong or not layers:
        raise ShapeError(f"head_grid: got {wrong or 'no layer'}, expected maps (heads, h, w) of each layer")
    heads = min(MOST, max(len(maps) for maps in layers.values()))
    shared = scale_of(np.concatenate([m.ravel() for m in layers.values()])) if range == "all" else None
    top = int(image is not None)
    rows = len(layers) + top
    canvas = np.ones((rows * (CELL + GAP), heads * (CELL + GAP), 3))
    if image is not None:
        small = Image.fromarray(image).resize((CELL, CELL), Image.Resampling.BILINEAR)
        canvas[:CELL, :CELL] = np.asarray(small) / 255
    for row, maps in enumerate(layers.values(), start=top):
        for column, values in enumerate(maps[:heads]):
            y, x = row * (CELL + GAP), column * (CELL + GAP)
            scale = shared or scale_of(values)
            canvas[y : y + CELL, x : x + CELL] = scale.colours(resized(values, (CELL, CELL), smooth=False))
    figure = Figure(figsize=(1.6 + 0.6 * heads, 0.6 + 0.6 * rows), layout="constrained")
    axes = figure.subplots()
    axes.imshow(canvas, interpolation="nearest")
    axes.spines[:].set_visible(False)
    middle = (CELL - 1) / 2 + (CELL + GAP) * np.arange(max(rows, heads))
    axes.set_yticks(middle[top:rows], [one_line(path, 26) for path in layers], fontsize=6)
    axes.set_xticks(middle[:heads], [str(number) for number in np.arange(heads)], fontsize=6)
    axes.tick_params(top=True, bottom=False, labeltop=True, labelbottom=False, length=0)
    plain_text(axes)
    if shared is not None:
        colour_bar(figure, axes, shared)
    figure.suptitle(one_line(title, 90), fontsize=9, parse_math=False)
    spread = {path: _mean([entropy(m) for m in maps]) for path, maps in layers.items()}
    left_out = max(len(maps) for maps in layers.values()) - heads
    told = "; ".join(
        f"{path}: {len(maps)} heads, mean entropy {spread[path]:.2f}" for path, maps in layers.items()
    )
    more = f" {left_out} more heads are not drawn." if left_out > 0 else ""
    own = "Each map has its own range of colours." if shared is None else f"Colours: {shared.in_words}."
    return Drawing(name, figure, f"{title}. {told}. {own}{more}".lstrip(". "))


def _mean(values: list[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
