"""Gates of channels as sorted bars: the mean over pictures, and how far they spread from picture to picture.

Shapes  gates float (B, C), one for each picture and channel.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from foveate.errors import ShapeError
from foveate.explain.drawing.drawing import Drawing, one_line, plain_text, styled

COLOUR, SPREAD = "#3b528b", "#f98e09"  # of the bars, of the spread
ALIKE = 0.01  # spread over pictures, relative to the mean, below which a gate is called constant


@styled
def gate_bars(gates: Float[np.ndarray, "b c"], *, name: str = "gates", title: str = "") -> Drawing:
    """Draw the gates of one mechanism, the largest mean first; lines are one standard deviation each way.

    Args:
        gates: The weight of each channel for each picture.
        name: Of the drawing.
        title: Above it.

    Raises:
        ShapeError: The gates have another shape.
    """
    if gates.ndim != 2 or not gates.size:
        raise ShapeError(f"gates: got shape {gates.shape}, expected (pictures, channels)")
    pictures, channels = gates.shape
    mean, sd = gates.mean(axis=0), gates.std(axis=0)
    order = np.argsort(-mean, kind="stable")
    figure = Figure(figsize=(5.4, 2.3), layout="constrained")
    axes = figure.subplots()
    place = np.arange(channels)
    axes.bar(place, mean[order], width=1.0, color=COLOUR, lw=0)
    if pictures > 1:
        low, high = (mean - sd)[order], (mean + sd)[order]
        axes.vlines(place, low, high, color=SPREAD, lw=min(1.5, 120 / channels))
    axes.set_xlim(-0.5, channels - 0.5)
    axes.set_xlabel("channels, the largest mean first")
    spread = "line: one standard deviation over pictures each way" if pictures > 1 else "one picture"
    axes.set_ylabel("weight")
    axes.set_title(one_line(title, 70) + f"\n{spread}", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    plain_text(axes)
    best, least = (", ".join(f"{c} ({mean[c]:.3g})" for c in some) for some in (order[:3], order[::-1][:3]))
    constant = float((sd <= ALIKE * np.abs(mean)).mean())
    alike = (
        f" {100 * constant:.0f} % of the channels have the same weight on every picture (to 1 %)."
        if pictures > 1
        else ""
    )
    return Drawing(
        name,
        figure,
        f"{title}. {channels} channels, {pictures} pictures: mean {mean.mean():.3g}, from {mean.min():.3g} "
        f"to {mean.max():.3g}; mean standard deviation over pictures {sd.mean():.2g}.{alike} Largest: "
        f"channels {best}; least: {least}.".lstrip(". "),
    )
