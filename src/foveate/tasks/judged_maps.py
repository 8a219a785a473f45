"""Whether the maps that a report's cards show tell the truth, judged on the same pictures of every model.

Shapes  images uint8 (N, 3, H, W); masks bool (N, H, W); models return logits (B, K).
Cost    ``PASSES`` forward passes a picture and model, about a tenth of a second where a pass takes a
        millisecond.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor, nn

from foveate.errors import FoveateError
from foveate.explain.judging.baselines import baselines
from foveate.explain.judging.judge import judge
from foveate.explain.judging.judgement import Judgement, Scores
from foveate.models.normalisation import Triple
from foveate.running import device_of
from foveate.tasks.cards.evidence import METHOD
from foveate.tasks.picture_inputs import normalised

MOST, LEAST = 64, 8  # pictures; fewer than the least say too little
STEPS = 10  # of the curves; halves the cost of 20, and moves a mean by less than its interval is wide
BESIDE = ("smooth_random", "centre")
ABOUT_THE_MODEL = (f"deletion(steps={STEPS})", f"insertion(steps={STEPS})")
ABOUT_THE_OBJECT = ("pointing", "energy")
_MAPS = 1 + sum(baselines[name].draws for name in BESIDE)
PASSES = len(ABOUT_THE_MODEL) * (STEPS - 1) * _MAPS + 7  # the ends of curves, the map and what it explains


@dataclass(frozen=True, eq=False)
class MapPictures:
    """Pictures on which maps are judged.

    Args:
        images: As they are decoded.
        labels: The class that is explained of each.
        masks: Where it is to be seen, if the data knows.
    """

    images: UInt8[np.ndarray, "n 3 h w"]
    labels: Int[np.ndarray, " n"]
    masks: Bool[np.ndarray, "n h w"] | None = None


def chosen(right: Sequence[Bool[np.ndarray, " n"]], passes: int) -> Int[np.ndarray, " m"]:
    """Return the items that are judged: spread evenly over those that every model gets right.

    Args:
        right: Of each model, which items it gets right.
        passes: The most forward passes of a model that judging may cost.

    Returns:
        Numbers of items; none if there would be too few of them.
    """
    common = np.flatnonzero(np.logical_and.reduce(list(right)))
    count = min(MOST, passes // PASSES, len(common))
    if count < LEAST:
        return np.empty(0, np.int64)
    return common[np.linspace(0, len(common) - 1, count).round().astype(np.int64)]


def judged_maps(
    models: Mapping[str, nn.Module], pictures: MapPictures, *, mean: Triple, std: Triple
) -> dict[str, Any] | None:
    """Return the scores of each model's maps, plain data as ``study.json`` holds it.

    The maps are those that the cards show as evidence. Models without such a map are left out.

    Args:
        models: Trained; each runs where it is.
        pictures: The same for all models.
        mean: Of the normalisation that the models were trained with, one for each colour.
        std: Of the same.

    Returns:
        None if no model has a map.
    """
    masks = None if pictures.masks is None else torch.from_numpy(pictures.masks)
    metrics = (*ABOUT_THE_MODEL, *(() if masks is None else ABOUT_THE_OBJECT))
    found: dict[str, Judgement] = {}
    for name, model in models.items():
        device = device_of(model)
        batch = normalised(pictures.images, mean, std, device)
        labels: Tensor = torch.from_numpy(pictures.labels).to(device)
        try:
            found[name] = judge(
                model, batch, METHOD, metrics, masks, labels, baselines=BESIDE, normalisation=(mean, std)
            )
        except FoveateError:  # no layer has a map on the way to the answer, as in ``evidence``
            continue
    if not found:
        return None
    first = next(iter(found.values()))
    return {
        "method": METHOD,
        "pictures": len(pictures.images),
        "metrics": [
            {"name": metric.name, "asks": metric.asks, "better": metric.better}
            for metric in first.metrics.values()
        ],
        "maps": [
            {"variant": name, "map": each, "scores": [_plain(judgement[text, each]) for text in metrics]}
            for name, judgement in found.items()
            for each in (*judgement.maps, *judgement.baselines)
        ],
        "comparisons": [
            {
                "variant": name,
                "metric": judgement.metrics[one.metric].name,
                "than": one.than,
                "answer": one.answer,
                "words": str(one),
            }
            for name, judgement in found.items()
            for one in judgement.comparisons
        ],
    }


def _plain(scores: Scores) -> dict[str, float]:
    return {"mean": scores.mean, "low": scores.low, "high": scores.high}
