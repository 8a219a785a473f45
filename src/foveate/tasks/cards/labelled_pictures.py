"""The same test pictures under every variant, with the maps of their attention, where they disagree first.

Shapes  images uint8 (N, 3, S, S); predictions float (N, K), probabilities; targets int (N,) or, of several
        labels, (N, K).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from foveate.large_pictures import LargePictures
from foveate.models.normalisation import Triple
from foveate.tasks.cards.attention_maps import Maps, drawn_maps, site_maps
from foveate.tasks.cards.overlay import data_uri, outline, shown
from foveate.tasks.picture_inputs import normalised

_THERE = 0.5  # probability above which one of several labels is said to hold
_NONE = "none"  # if none of them does


class Pictured(Protocol):
    """What is needed of a split: its decoded images (N, 3, S, S), uint8, and their names."""

    @property
    def images(self) -> np.ndarray:
        """Return the images."""

    @property
    def names(self) -> Sequence[str]:
        """Return one name an image."""


def pictures(
    models: Mapping[str, nn.Module],
    split: Pictured,
    *,
    classes: Sequence[str],
    predictions: Mapping[str, Float[np.ndarray, "n k"]],
    targets: Int[np.ndarray, "n ..."],
    mean: Triple,
    std: Triple,
    count: int = 12,
    device: torch.device | str = "cpu",
    look: Callable[[int], Bool[np.ndarray, "h w"]] | None = None,
    evidence: Callable[[nn.Module, Tensor, Tensor | None], Maps] | None = None,
    taken: Callable[[nn.Module, Sequence[int]], LargePictures | None] | None = None,
) -> list[dict[str, Any]]:
    """Choose test pictures and show them as every model sees them.

    Args:
        models: One trained model a variant, all of one seed; where they are when it returns is ``device``.
        split: The test items.
        classes: Their names.
        predictions: What each of ``models`` predicts for every item, probabilities.
        targets: The true classes; (N, K), 1 for each that holds, where several may.
        mean: Of the normalisation that the models were trained with, one for each colour.
        std: Of the same.
        count: How many pictures, at most.
        device: Where to run the models.
        look: Item -> where the answer is, if the data knows; drawn as an outline.
        evidence: Model, images and true classes (None where there are several) -> a map that all models have.
        taken: Model and items -> the same pictures in full, for a model that takes large ones; else None.

    Returns:
        The ``pictures`` of a report, plain data.
    """
    guesses, targets = {name: np.asarray(predictions[name]) for name in models}, np.asarray(targets)
    chosen, disagreement = choose(guesses, count)
    images = np.stack([np.ascontiguousarray(split.images[i]) for i in chosen]) if len(chosen) else None
    if images is None:
        return []
    batch = normalised(images, mean, std, device)
    asked = torch.from_numpy(targets[chosen]).to(device) if targets.ndim == 1 else None  # the same of all
    maps = {}
    for name, model in models.items():
        whole = None if taken is None else taken(model, chosen.tolist())
        if whole is not None:
            maps[name] = _square_maps(model.to(device), whole.to(torch.device(device)))
            continue
        first = evidence(model.to(device), batch, asked) if evidence else []
        maps[name] = [*first, *site_maps(model.to(device), batch)]
    return [
        {
            "kind": "labels",
            "item": str(split.names[i]),
            "target": _named(targets[i], classes),
            "image": data_uri(shown(images[place].transpose(1, 2, 0))),
            "truth": None if look is None else _truth(look(int(i)), images[place].transpose(1, 2, 0)),
            "disagreement": float(disagreement[i]),
            "variants": [
                _answer(name, guess[i], classes, targets[i]) | {"maps": drawn_maps(maps[name], place)}
                for name, guess in guesses.items()
            ],
        }
        for place, i in enumerate(chosen)
    ]


def choose(
    predictions: Mapping[str, Float[np.ndarray, "n k"]], count: int
) -> tuple[Int[np.ndarray, " count"], Float[np.ndarray, " n"]]:
    """Choose items: those about which most pairs of variants disagree first, then the most uncertain ones.

    Returns:
        The items, and for every item the share of pairs of variants that give different answers, 0 to 1.
    """
    guesses = list(predictions.values())
    if not guesses:
        return np.empty(0, np.int64), np.empty(0)
    answers = [guess.argmax(axis=1) for guess in guesses]
    pairs = [one != other for one, other in combinations(answers, 2)] or [np.zeros(len(answers[0]), bool)]
    disagreement = np.mean(pairs, axis=0)
    average = np.mean(guesses, axis=0)
    uncertainty = -np.sum(average * np.log(np.maximum(average, 1e-12)), axis=1)
    return np.lexsort((-uncertainty, -disagreement))[:count], disagreement


def _square_maps(model: nn.Module, pictures: LargePictures) -> Maps:
    """Return a model's maps over the middle squares of large pictures."""
    each = [site_maps(model, pictures[row : row + 1]) for row in range(len(pictures))]
    sides = [min(values.shape[1:]) for maps in each for _, _, values in maps]
    return [
        (site, kind, np.stack([_middle(maps[number][2][0], min(sides)) for maps in each]))
        for number, (site, kind, _) in enumerate(each[0])
    ]


def _middle(values: Float[np.ndarray, "h w"], side: int) -> Float[np.ndarray, "s s"]:
    """Return the middle square of a map, at ``side`` places a side."""
    short = min(values.shape)
    top, left = ((length - short) // 2 for length in values.shape)
    places = ((np.arange(side) + 0.5) * short / side).astype(int)
    return values[top : top + short, left : left + short][places][:, places]


def _answer(name: str, guess: np.ndarray, classes: Sequence[str], target: np.ndarray) -> dict[str, Any]:
    if target.ndim:
        told = guess > _THERE
        return {
            "name": name,
            "prediction": _named(told, classes),
            "confidence": float(np.where(told, guess, 1 - guess).min()),
            "right": bool((told == target).all()),
        }
    best = int(guess.argmax())
    return {
        "name": name,
        "prediction": classes[best],
        "confidence": float(guess[best]),
        "right": best == int(target),
        "true_share": float(guess[int(target)]),
    }


def _named(target: np.ndarray, classes: Sequence[str]) -> str:
    """Return the name of a class, or those of all that hold."""
    if not target.ndim:
        return classes[int(target)]
    return ", ".join(name for name, there in zip(classes, target, strict=True) if there) or _NONE


def _truth(mask: np.ndarray, image: np.ndarray) -> str:
    """Return the outline of a mask, cut square as the cache cuts images: the middle of the longer side."""
    short = min(mask.shape)
    top, left = (mask.shape[0] - short) // 2, (mask.shape[1] - short) // 2
    return data_uri(outline(mask[top : top + short, left : left + short].astype(bool), shown(image).size))
