"""A map over the picture: the picture turns grey, so that all colour is the map's; contours hold its mass.

Shapes  image uint8 (H, W, 3); map float (h, w), any range; NaN where the map says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from foveate.explain.drawing.blend import blended, enlarged, expect_pair, resized
from foveate.explain.drawing.colour import SIGNED, WEIGHTS, Scale, scale_of
from foveate.explain.drawing.drawing import Drawing, bare, one_line, plain_text, styled
from foveate.explain.drawing.mass import map_in_words, mass_levels

CONTOURS = (0.5, 0.9)  # of the mass


def draw_over(
    axes: Axes,
    image: UInt8[np.ndarray, "hh ww 3"],
    values: Float[np.ndarray, "h w"],
    *,
    scale: Scale | None = None,
    smooth: bool = True,
    contours: Sequence[float] = CONTOURS,
) -> None:
    """Draw a picture with a map over it, lines around the least places that hold these shares of its mass.

    The first line is solid, the others are dashed. Without places to leave out there is no line.
    """
    axes.imshow(blended(image, values, scale=scale, smooth=smooth), interpolation="nearest")
    bare(axes)
    fine = np.abs(np.nan_to_num(resized(values, image.shape[:2], smooth=smooth)))
    for number, level in enumerate(mass_levels(fine, contours)):
        if not np.isnan(level) and fine.min() < level:
            style: dict[str, Any] = {"colors": "white", "linestyles": "--" if number else "-"}
            drawn = axes.contour(
                fine, levels=[np.nextafter(level, 0)], linewidths=1.1 - 0.3 * number, **style
            )
            drawn.set_path_effects([patheffects.withStroke(linewidth=2.2 - 0.3 * number, foreground="black")])


@styled
def overlay(
    image: UInt8[np.ndarray, "hh ww 3"],
    values: Float[np.ndarray, "h w"],
    *,
    name: str = "map",
    title: str = "",
    signed: bool | None = None,
    share: float = 1.0,
    smooth: bool = True,
    contours: Sequence[float] = CONTOURS,
    box: tuple[float, float, float, float] | None = None,
) -> Drawing:
    """Draw one map over one picture, with a bar that says what the colours stand for.

    Args:
        image: The picture.
        values: The map.
        name: Of the drawing.
        title: Above it.
        signed: Whether the map is signed: its palette then has zero in the middle. By default if it has
            values on both sides of zero.
        share: Share of the values that the colours distinguish; see ``colour.scale_of``.
        smooth: Interpolate between the map's places.
        contours: Shares of the mass to draw a line around; empty for none.
        box: Left, top, right and bottom edge of a box to draw, in pixels of the picture.
    """
    expect_pair(image, values)
    scale = scale_of(values, signed=signed, share=share)
    large = enlarged(image)
    height, width = large.shape[:2]
    figure = Figure(figsize=(4.4, 0.55 + 3.6 * height / width), layout="constrained")
    axes = figure.subplots()
    draw_over(axes, large, values, scale=scale, smooth=smooth, contours=contours)
    if box is not None:
        left, top, right, bottom = (height / image.shape[0] * edge - 0.5 for edge in box)
        frame = Rectangle((left, top), right - left, bottom - top, fill=False, ec="white", lw=1.6)
        frame.set_path_effects([patheffects.withStroke(linewidth=3.2, foreground="black")])
        axes.add_patch(frame)
        axes.set_xlim(-0.5, width - 0.5)
        axes.set_ylim(height - 0.5, -0.5)
    axes.set_title(one_line(title, 70), fontsize=9)
    colour_bar(figure, axes, scale)
    plain_text(axes)
    lines = ", ".join(f"{100 * part:g} %" for part in contours)
    about = f" Lines around {lines} of its mass." if lines else ""
    return Drawing(
        name, figure, f"{title}. {map_in_words(values)}{about} Colours: {scale.in_words}.".lstrip(". ")
    )


def colour_bar(figure: Figure, axes: Any, scale: Scale) -> None:
    """Draw the palette beside axes, with the values at its ends."""
    shown = ScalarMappable(Normalize(scale.low, scale.high), SIGNED if scale.signed else WEIGHTS)
    bar = figure.colorbar(shown, ax=axes, fraction=0.045, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=6, length=2, width=0.5)
