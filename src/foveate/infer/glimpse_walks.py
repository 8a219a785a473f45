"""The paths of a model's glimpses over a picture, from the places that it recorded while it looked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import nn

from foveate.explain.recording.attention_map import AttentionMap

PLACES = "b t x"  # axes of a tap with the places of glimpses: (x, y) from -1 to 1


@dataclass(frozen=True, eq=False)
class Walk:
    """One walk over one picture.

    Args:
        name: Path of the tap that the places went through, with the number of the call if there were more.
        centres: (row, column) of the middle of each glimpse's finest window, in pixels.
        sides: Of the windows of one glimpse, the finest first, in pixels.
    """

    name: str
    centres: Float[np.ndarray, "t 2"]
    sides: tuple[int, ...]


def walks_of(network: nn.Module, calls: Sequence[AttentionMap], size: tuple[int, int]) -> list[Walk]:
    """Return every walk over one picture that a model recorded.

    The layer around the tap states the sides of its windows as ``glimpse_sides``; of a model that does not,
    the windows are unknown, and so are its walks.

    Args:
        network: The model.
        calls: What was recorded of the picture, a batch of one.
        size: Height and width of the picture in pixels.
    """
    found = []
    for call in calls:
        if call.kind != "tap" or call.axes != PLACES:
            continue
        sides = getattr(network.get_submodule(call.path.rpartition(".")[0]), "glimpse_sides", None)
        if sides:
            name = call.path if call.call == 0 else f"{call.path}, call {call.call}"
            found.append(Walk(name, _centres(call, size, sides[0]), tuple(sides)))
    return found


def _centres(call: AttentionMap, size: tuple[int, int], side: int) -> Float[np.ndarray, "t 2"]:
    """Return the middles of the windows that the sensor cut: they begin at whole pixels."""
    places = call.weights[0].double().cpu().numpy()[:, ::-1]  # (y, x)
    first = np.floor((places + 1) / 2 * np.asarray(size)) - side // 2
    middles: Float[np.ndarray, "t 2"] = first + side / 2
    return middles
