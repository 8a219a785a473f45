"""One picture as a model sees it: its pixels, its attention, other maps, and the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, UInt8

from foveate.errors import OptionError, ShapeError
from foveate.explain.recording.attention_map import AttentionMap
from foveate.infer.found_objects import FoundObject
from foveate.infer.glimpse_walks import Walk

Values = Float[np.ndarray, "h w"]


@dataclass(eq=False)
class Seen:
    """One picture.

    Args:
        name: Of the picture.
        image: uint8 (H, W, 3), at the size of the model's input.
        calls: What ``fv.record`` kept of it, a batch of one, in the order in which layers ran.
        prediction: Labels and probabilities, the most probable first; empty if the model does not classify.
        maps: Method -> its map (H, W).
        walks: The paths of glimpses, of a model that makes such.
        objects: What object queries found, of a model that has such.
    """

    name: str
    image: UInt8[np.ndarray, "hh ww 3"]
    calls: Sequence[AttentionMap] = ()
    prediction: Sequence[tuple[str, float]] = ()
    maps: dict[str, Values] = field(default_factory=dict)
    walks: Sequence[Walk] = ()
    objects: Sequence[FoundObject] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def answer(self) -> str:
        """The most probable label with its probability; empty without one."""
        return f"{self.prediction[0][0]} {100 * self.prediction[0][1]:.0f} %" if self.prediction else ""

    def attending(self) -> list[AttentionMap]:
        """Return the calls that attend to places of the picture."""
        return [call for call in self.calls if _on_picture(call)]

    def heads(self, query: tuple[int, int] | int | None = None) -> Mapping[str, Float[np.ndarray, "k h w"]]:
        """Return for each attending call the map of each head, on the grid of its keys.

        Args:
            query: The pixel that looks, or the number of an object query; None for the class token, or the
                mean of all. A layer without such a query is left out.
        """
        found = {}
        for call in self.attending():
            assert call.geometry is not None
            grid = call.geometry.keys.height, call.geometry.keys.width
            numbers = range(call.grouped().shape[2]) if not isinstance(call.heads, tuple) else call.heads
            try:
                maps = [
                    call.to_image(grid, query=_scaled(query, self.size, grid), head=h).values for h in numbers
                ]
            except (ShapeError, OptionError):
                continue
            name = call.path if call.path not in found else f"{call.path}, call {call.call}"
            found[name] = np.stack([one[0].float().numpy() for one in maps])
        return found


def channel_gates(pictures: Sequence[Seen]) -> dict[str, Float[np.ndarray, "b c"]]:
    """Return the gates of channels of each layer that has such: (pictures, channels)."""
    return _stacked(pictures, "c")


def branch_weights(pictures: Sequence[Seen]) -> dict[str, Float[np.ndarray, "b s"]]:
    """Return the weights of branches, scales or layers: (pictures, branches)."""
    return _stacked(pictures, "s")


def _stacked(pictures: Sequence[Seen], over: str) -> dict[str, np.ndarray]:
    found: dict[str, list[np.ndarray]] = {}
    for seen in pictures:
        for call in seen.calls:
            if _weighs(call) == over:
                axis = call.axes.split().index(over)
                weights = call.weights[0].float()
                others = [i - 1 for i in range(1, call.weights.ndim) if i != axis]
                found.setdefault(call.path, []).append(
                    (weights.mean(dim=others) if others else weights).numpy()
                )
    return {
        path: np.stack(rows)
        for path, rows in found.items()
        if len(rows) == len(pictures) and len({row.shape for row in rows}) == 1
    }


def _weighs(call: AttentionMap) -> str | None:
    """Return what a gate weighs: branches (s), channels (c), or None for places and pairs."""
    names = call.axes.split()
    if call.kind not in ("gate", "tap") or {"n", "m", "t", "q", "p", "k"} & {*names} or names[0] != "b":
        return None
    sizes = dict(zip(names, call.weights.shape, strict=True))
    if sizes.get("h", 1) * sizes.get("w", 1) * sizes.get("d", 1) > 1:
        return None
    return "s" if "s" in names else "c" if "c" in names else None


def _on_picture(call: AttentionMap) -> bool:
    return (
        call.pairwise
        and call.geometry is not None
        and call.geometry.keys.space == "picture"
        and call.geometry.queries.space != "channels"
    )


def _scaled(
    query: tuple[int, int] | int | None, size: tuple[int, int], grid: tuple[int, int]
) -> tuple[int, int] | int | None:
    """Return a pixel of the picture as a pixel of a picture of the grid's size; else the query as it is."""
    if query is None or isinstance(query, int):
        return query
    row, column = (min(g - 1, int((q + 0.5) / s * g)) for q, s, g in zip(query, size, grid, strict=True))
    return row, column
