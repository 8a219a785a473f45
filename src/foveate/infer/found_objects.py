"""The objects that a model such as DETR found in a picture, and where the query behind each looked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from foveate.errors import OptionError
from foveate.explain.recording.attention_map import AttentionMap

MOST = 5  # objects that are drawn, the most probable ones


@dataclass(frozen=True, eq=False)
class FoundObject:
    """One object query, and what it found.

    Args:
        query: Its number.
        label: Number of the class.
        share: Probability of the class, 0 to 1.
        box: Left, top, right and bottom edge in pixels.
        values: Where the query looked in the last layer (H, W).
    """

    query: int
    label: int
    share: float
    box: tuple[float, float, float, float]
    values: Float[np.ndarray, "hh ww"]

    @property
    def title(self) -> str:
        """What was found, in a few words."""
        return f"query {self.query}, class {self.label} ({100 * self.share:.0f} %)"


def objects_of(
    outputs: object,
    calls: Sequence[AttentionMap],
    size: tuple[int, int],
    *,
    head: int | None = None,
    query: int | None = None,
) -> list[FoundObject]:
    """Return the most probable objects of a picture; none of a model that does not answer by object queries.

    Such a model returns ``logits`` (1, Q, classes + 1), the last of which means "no object", and
    ``pred_boxes`` (1, Q, 4): centre, width and height as shares of the picture.

    Args:
        outputs: What the model returned for the picture, a batch of one.
        calls: What was recorded meanwhile.
        size: Height and width of the picture in pixels.
        head: One head; None for the mean of all.
        query: One object query; None for the most probable ones.

    Raises:
        OptionError: There is no such query.
    """
    logits, boxes = (_part(outputs, name) for name in ("logits", "pred_boxes"))
    if logits is None or boxes is None or logits.ndim != 3 or boxes.shape != (*logits.shape[:2], 4):
        return []
    looked = [call for call in calls if _by_slots(call, logits.shape[1])]
    if not looked:
        return []
    shares, labels = logits[0].float().softmax(dim=-1)[:, :-1].max(dim=-1)
    if query is not None and not 0 <= query < len(shares):
        raise OptionError(
            f"query: got {query}, expected the number of an object query, 0 to {len(shares) - 1}"
        )
    chosen = shares.argsort(descending=True)[:MOST].tolist() if query is None else [query]
    height, width = size
    found = []
    for number in chosen:
        x, y, w, h = boxes[0, number].float().tolist()
        edges = (x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height
        values = looked[-1].to_image(size, query=number, head=head).values[0].float().cpu().numpy()
        found.append(FoundObject(number, int(labels[number]), float(shares[number]), edges, values))
    return found


def _by_slots(call: AttentionMap, count: int) -> bool:
    geometry = call.geometry
    return (
        call.pairwise
        and geometry is not None
        and geometry.queries.space == "slots"
        and geometry.queries.entries == count
        and geometry.keys.space == "picture"
    )


def _part(outputs: object, name: str) -> Tensor | None:
    found = outputs.get(name) if isinstance(outputs, Mapping) else getattr(outputs, name, None)
    return found.detach() if isinstance(found, Tensor) else None
