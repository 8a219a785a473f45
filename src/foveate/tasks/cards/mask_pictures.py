"""The same test pictures under every variant where each pixel has a class: the truth, and what each one drew.

Shapes  images uint8 (N, 3, H, W); masks and answers uint8 (N, H, W), class numbers, 255 where nobody knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float, Int, UInt8
from torch import nn

from foveate.data.class_numbers import IGNORE
from foveate.models.normalisation import Triple
from foveate.segment.drawing import overlay
from foveate.tasks.cards.attention_maps import drawn_maps, site_maps
from foveate.tasks.cards.overlay import data_uri, shown
from foveate.tasks.picture_inputs import normalised

SHARPEST = 0.55  # strength of the colours over the picture
_UNKNOWN = (0, 0, 0)


class Masked(Protocol):
    """What is needed of a split: images (N, 3, H, W), masks (N, H, W), both uint8, and names."""

    @property
    def images(self) -> np.ndarray:
        """Return the images."""

    @property
    def masks(self) -> np.ndarray | None:
        """Return the masks."""

    @property
    def names(self) -> Sequence[str]:
        """Return one name an image."""


def mask_pictures(
    models: Mapping[str, nn.Module],
    split: Masked,
    *,
    classes: Sequence[str],
    palette: UInt8[np.ndarray, "k 3"],
    answers: Mapping[str, UInt8[np.ndarray, "n h w"]],
    scores: Mapping[str, Float[np.ndarray, " n"]],
    mean: Triple,
    std: Triple,
    count: int = 12,
) -> list[dict[str, Any]]:
    """Choose test pictures and show them as every model sees them.

    Args:
        models: One trained model a variant, all of one seed.
        split: The test items.
        classes: Their names.
        palette: A colour for each class.
        answers: What each of ``models`` makes of every item: the class of each pixel.
        scores: How well, in points; NaN where an image says nothing.
        mean: Of the normalisation that the models were trained with, one for each colour.
        std: Of the same.
        count: How many pictures, at most.

    Returns:
        The ``pictures`` of a report, plain data.
    """
    chosen, disagreement = choose(answers, count)
    images = np.stack([np.ascontiguousarray(split.images[i]) for i in chosen])
    batch = normalised(images, mean, std, "cpu")
    maps = {name: site_maps(model, batch) for name, model in models.items()}
    legend = [{"name": n, "colour": colour.tolist()} for n, colour in zip(classes, palette, strict=True)]
    assert split.masks is not None  # of data with masks
    return [
        {
            "kind": "pixels",
            "legend": legend,
            "item": str(split.names[i]),
            "target": None,
            "image": data_uri(shown(images[place].transpose(1, 2, 0))),
            "truth": None,
            "mask": _drawn(images[place].transpose(1, 2, 0), split.masks[i], palette),
            "disagreement": float(disagreement[i]),
            "variants": [
                {
                    "name": name,
                    "mask": _drawn(images[place].transpose(1, 2, 0), answers[name][i], palette),
                    "score": float(scores[name][i]) if np.isfinite(scores[name][i]) else None,
                    "maps": drawn_maps(maps[name], place),
                }
                for name in models
            ],
        }
        for place, i in enumerate(chosen)
    ]


def choose(
    answers: Mapping[str, UInt8[np.ndarray, "n h w"]], count: int
) -> tuple[Int[np.ndarray, " count"], Float[np.ndarray, " n"]]:
    """Choose items: those first in which the variants differ on most pixels.

    Returns:
        The items, and for every item the share of its pixels, averaged over pairs of variants, that two
        variants give different classes, 0 to 1. Of one variant alone, the first items.
    """
    labels = list(answers.values())
    pairs = [(one != other).mean(axis=(1, 2)) for one, other in combinations(labels, 2)]
    disagreement = np.mean(pairs, axis=0) if pairs else np.zeros(len(labels[0]))
    return np.argsort(-disagreement, kind="stable")[:count], disagreement


def _drawn(
    image: UInt8[np.ndarray, "h w 3"], labels: UInt8[np.ndarray, "h w"], palette: UInt8[np.ndarray, "k 3"]
) -> str:
    """Return the picture under the colours of the classes; what nobody knows is black."""
    colours = np.concatenate([palette, np.array([_UNKNOWN], np.uint8)])
    known = np.where(labels == IGNORE, len(palette), labels).astype(np.uint8)
    return data_uri(shown(overlay(np.ascontiguousarray(image), known, colours, strength=SHARPEST)))
