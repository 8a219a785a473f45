"""The same test pictures under every variant of a detector: the true boxes, and what each one finds.

Shapes  answers, one per image: float32 (N, 6), left, top, right, bottom in pixels, score, class number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, UInt8
from torch import nn

from foveate.data.base import Split
from foveate.data.boxes.boxes import Boxes
from foveate.detect.draw_boxes import draw_boxes
from foveate.running import device_of
from foveate.tasks.cards.attention_maps import drawn_maps, site_maps
from foveate.tasks.cards.overlay import data_uri, shown
from foveate.tasks.metrics.boxes.match_boxes import overlaps

SHOWN = 0.5  # score from which on a box is drawn
_SAME = 0.5  # overlap from which on two boxes of a class are one

Found = Float32[np.ndarray, "_ 6"]


def box_pictures(
    models: Mapping[str, nn.Module],
    split: Split,
    boxes: Sequence[Boxes],
    *,
    classes: Sequence[str],
    palette: UInt8[np.ndarray, "k 3"],
    answers: Mapping[str, Sequence[Found]],
    scores: Mapping[str, Float[np.ndarray, " n"]],
    count: int = 12,
) -> list[dict[str, Any]]:
    """Choose test pictures and show them as every model sees them.

    Args:
        models: One trained model a variant, all of one seed.
        split: The test pictures.
        boxes: The true boxes of each.
        classes: Their names.
        palette: A colour for each class.
        answers: What each of ``models`` finds in every picture.
        scores: How well, in points; NaN where a picture says nothing.
        count: How many pictures, at most.

    Returns:
        The ``pictures`` of a report, plain data.
    """
    chosen, disagreement = choose(answers, count)
    legend = [{"name": n, "colour": colour.tolist()} for n, colour in zip(classes, palette, strict=True)]
    return [
        _card(int(i), float(disagreement[i]), models, split, boxes[i], classes, palette, answers, scores)
        | {"legend": legend}
        for i in chosen
    ]


def choose(
    answers: Mapping[str, Sequence[Found]], count: int
) -> tuple[Int[np.ndarray, " count"], Float[np.ndarray, " n"]]:
    """Choose pictures: those first in which the variants agree on the fewest boxes.

    Returns:
        The pictures, and for every picture the share of the boxes drawn, averaged over pairs of variants,
        that one of two has and the other lacks, 0 to 1. Of one variant alone, the first pictures.
    """
    every = list(answers.values())
    pairs = [[_apart(a, b) for a, b in zip(one, other, strict=True)] for one, other in combinations(every, 2)]
    disagreement = np.mean(pairs, axis=0) if pairs else np.zeros(len(every[0]))
    return np.argsort(-disagreement, kind="stable")[:count], disagreement


def _apart(one: Found, other: Found) -> float:
    """Return the share of the drawn boxes of two answers that have no partner in the other one."""
    a, b = (np.asarray(found, np.float64)[found[:, 4] >= SHOWN] for found in (one, other))
    if not len(a) + len(b):
        return 0.0
    same = overlaps(a[:, :4], b[:, :4], np.zeros(len(b), bool)) >= _SAME
    same &= a[:, None, 5] == b[None, :, 5]
    partners = int(same.any(axis=1).sum() + same.any(axis=0).sum())
    return 1 - partners / (len(a) + len(b))


def _card(
    i: int,
    disagreement: float,
    models: Mapping[str, nn.Module],
    split: Split,
    true: Boxes,
    classes: Sequence[str],
    palette: UInt8[np.ndarray, "k 3"],
    answers: Mapping[str, Sequence[Found]],
    scores: Mapping[str, Float[np.ndarray, " n"]],
) -> dict[str, Any]:
    image = split.load(i)
    drawn = draw_boxes(
        image, true.boxes, true.labels, classes=classes, palette=palette, dashed=true.crowd.tolist()
    )
    batch = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None].float() / 255
    return {
        "kind": "boxes",
        "item": str(split.names[i]),
        "target": None,
        "image": data_uri(shown(image)),
        "boxes": data_uri(shown(np.asarray(drawn))),
        "disagreement": disagreement,
        "variants": [
            {
                "name": name,
                "boxes": _drawn(image, answers[name][i], classes, palette),
                "score": float(scores[name][i]) if np.isfinite(scores[name][i]) else None,
                "maps": drawn_maps(site_maps(model, batch.to(device_of(model))), 0),
            }
            for name, model in models.items()
        ],
    }


def _drawn(
    image: UInt8[np.ndarray, "h w 3"], found: Found, classes: Sequence[str], palette: UInt8[np.ndarray, "k 3"]
) -> str:
    kept = found[found[:, 4] >= SHOWN]
    picture = draw_boxes(
        image,
        kept[:, :4],
        kept[:, 5].astype(np.int64),
        classes=classes,
        palette=palette,
        scores=kept[:, 4],
    )
    return data_uri(shown(np.asarray(picture)))
