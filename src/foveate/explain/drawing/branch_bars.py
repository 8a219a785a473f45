"""Weights of scales, branches or layers as stacked bars, one bar for each picture or class.

Shapes  weights float (G, S): the mean weight of each of S branches in each of G groups.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.figure import Figure

from foveate.errors import ShapeError
from foveate.explain.drawing.drawing import Drawing, one_line, plain_text, styled

NAMED = 0.07  # of the longest bar; shorter parts have no number on them
_PALETTE = "cividis"  # even to the eye, and alike for the colour-blind


@styled
def branch_bars(
    weights: Float[np.ndarray, "g s"],
    *,
    groups: Sequence[str],
    branches: Sequence[str] = (),
    name: str = "branches",
    title: str = "",
) -> Drawing:
    """Draw how the weight is shared between branches, one stacked bar for each group.

    Args:
        weights: Not negative; bars are as long as their sum, which is 1 where a softmax made them.
        groups: Names of the groups, such as pictures or classes.
        branches: Names of the branches; by default their numbers.
        name: Of the drawing.
        title: Above it.

    Raises:
        ShapeError: Another shape, another number of names, or a negative weight.
    """
    if weights.ndim != 2 or not weights.size or len(groups) != len(weights) or (weights < 0).any():
        raise ShapeError(
            f"weights: got shape {weights.shape} for {len(groups)} groups, expected (groups, branches), none "
            "negative. Draw signed weights as a map."
        )
    branches = [*branches] or [f"branch {number}" for number in range(weights.shape[1])]
    if len(branches) != weights.shape[1]:
        raise ShapeError(f"branches: got {len(branches)} names, expected {weights.shape[1]}")
    figure = Figure(
        figsize=(5.4, 0.9 + 0.26 * len(groups) + 0.16 * -(-len(branches) // 4)), layout="constrained"
    )
    axes = figure.subplots()
    colours = colormaps[_PALETTE](np.linspace(0, 1, len(branches)))
    left, longest = np.zeros(len(weights)), float(weights.sum(axis=1).max())
    for number, branch in enumerate(branches):
        part = weights[:, number]
        dark = colours[number, :3] @ (0.299, 0.587, 0.114) < 0.5
        bars = axes.barh(
            range(len(groups)), part, left=left, color=colours[number], edgecolor="white", lw=0.6
        )
        bars.set_label(one_line(branch, 24))
        told = [f"{width:.2f}" if width > NAMED * longest else "" for width in part]
        axes.bar_label(bars, told, label_type="center", fontsize=6, color="white" if dark else "black")
        left = left + part
    axes.set_yticks(range(len(groups)), [one_line(group, 30) for group in groups])
    axes.invert_yaxis()
    axes.set_xlabel("weight")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(one_line(title, 70), fontsize=9)
    figure.legend(loc="outside lower center", ncols=4, fontsize=6, frameon=False)
    plain_text(axes)
    mean = weights.mean(axis=0)
    shares = ", ".join(f"{branch} {share:.2f}" for branch, share in zip(branches, mean, strict=True))
    return Drawing(name, figure, f"{title}. Mean weight over {len(groups)} groups: {shares}.".lstrip(". "))
