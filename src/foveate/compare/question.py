"""From the words of a question to a plan that is not priced yet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import torch

from foveate.compare.build import base_model
from foveate.compare.draft import name_variants
from foveate.compare.materials import expect_task, expect_validation, fitting_size, usual_task
from foveate.compare.plan import Mode, StudyPlan
from foveate.data.base import ImageData
from foveate.errors import StudyError
from foveate.models.normalisation import model_normalisation
from foveate.models.source import sources
from foveate.options import is_seed
from foveate.recipe import TrainConfig, usual_recipe

STARTS = ("identity", "paper")
_MOST_SEEDS = 10_000


def outline(
    data: ImageData,
    *,
    model: str,
    variants: Sequence[str] | Mapping[str, str],
    seeds: int | Sequence[int],
    epochs: int | None,
    mode: str,
    control: str,
    margin: float | None,
    level: float,
    size: int | None,
    pretrained: bool,
    weights: str | Path | None,
    train: TrainConfig | None,
    start: str,
    branch_epochs: int | None,
    task: str | None,
    metric: str | None,
    command: str,
) -> StudyPlan:
    """Return the plan without controls, costs and times; the words are those of ``compare``.

    Raises:
        StudyError: A word is impossible.
        DataError: The task needs another kind of truth.
        UnknownNameError: There is no such model, task or metric.
    """
    judged = expect_task(data, task)(data.classes, loss=train.loss if train else None, metric=metric)
    pretrained = pretrained or (mode == "pretrained" and weights is None)
    tuned = pretrained or weights is not None
    recipe = asked_recipe(train or usual_recipe(data, tuned=tuned), epochs, size)
    expect_validation(data, recipe)
    with torch.random.fork_rng(devices=[]):
        base = base_model(model, len(data.classes), pretrained=pretrained, weights=weights)
    return StudyPlan(
        mode=_mode(mode, tuned),
        model=model,
        pretrained=pretrained,
        weights=None if weights is None else str(weights),
        data=data.name,
        fingerprint=data.fingerprint,
        origin=data.origin,
        classes=data.classes,
        items={name: len(split) for name, split in data.splits.items()},
        size=fitting_size(data, recipe.size, model, base, judged, pretrained=pretrained, weights=weights),
        normalisation=model_normalisation(base),
        task=task or usual_task(data),
        metric=metric,
        variants=name_variants(variants),
        seeds=_seeds(seeds),
        train=replace(recipe, size=None),
        branch_epochs=_branch_epochs(branch_epochs, recipe.epochs) if mode == "branch" else 0,
        start=_one_of("start", start, STARTS),
        control=control,
        margin=_margin(judged.metric.margin if margin is None else margin),
        level=_number("level", level, 0 < level < 1, "a confidence in (0, 1), such as 0.95"),
        unit=judged.metric.unit,
        command=command,
        sources=sources(model, base, weights),
        threads=torch.get_num_threads(),
    )


def expect_specs(variants: object) -> None:
    """Check that there are variants, in a list or by name.

    Raises:
        StudyError: There are none, or one as bare text.
    """
    if isinstance(variants, str) or not variants:
        raise StudyError(
            f'variants: got {variants!r}, expected a list of specs, such as ["se@blocks", "cbam@stage3"]'
        )


def call(words: Mapping[str, Any]) -> str:
    """Return the Python call that makes the study again; words that are None are left out."""
    said = {name: str(word) if isinstance(word, Path) else word for name, word in words.items()}
    return (
        f"foveate.compare({', '.join(f'{name}={word!r}' for name, word in said.items() if word is not None)})"
    )


def asked_recipe(recipe: TrainConfig, epochs: int | None, size: int | None, seed: int = 0) -> TrainConfig:
    """Return a recipe with the epochs and the size that were asked for beside it; None leaves its own.

    Raises:
        OptionError: One is impossible.
    """
    return replace(
        recipe,
        epochs=recipe.epochs if epochs is None else epochs,
        size=recipe.size if size is None else size,
        seed=seed,
    )


def _mode(mode: str, tuned: bool) -> Mode:
    """Return the mode; from scratch is not what happens where weights are given."""
    _one_of("mode", mode, get_args(Mode))
    return "pretrained" if mode == "scratch" and tuned else mode  # type: ignore[return-value]


def _branch_epochs(asked: int | None, epochs: int) -> int:
    if asked is not None and asked < 1:
        raise StudyError(f"branch_epochs: got {asked}, expected at least 1")
    return asked or max(1, epochs // 2)


def _seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    """Return the seeds: the first so many, or those that are listed."""
    if isinstance(seeds, int) and seeds > _MOST_SEEDS:
        raise StudyError(f"seeds: got {seeds}, expected at most {_MOST_SEEDS}")
    listed = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    if not listed or len(set(listed)) < len(listed) or not all(is_seed(seed) for seed in listed):
        raise StudyError(
            f"seeds: got {seeds!r}, expected how many, or a list of different whole numbers from 0 to below "
            "2**63"
        )
    return tuple(int(seed) for seed in listed)


def _margin(margin: float) -> float:
    fine = isinstance(margin, int | float) and 0 <= margin < math.inf
    return _number("margin", margin, fine, "a number of at least 0, in the metric's unit")


def _one_of(name: str, value: str, known: Sequence[str]) -> str:
    if value not in known:
        raise StudyError(f"{name}: got {value!r}, expected one of {', '.join(known)}")
    return value


def _number(name: str, value: float, fine: bool, expected: str) -> float:
    if not fine:
        raise StudyError(f"{name}: got {value!r}, expected {expected}")
    return float(value)
