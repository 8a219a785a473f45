"""The model that a study recommends, saved with everything needed to use it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foveate.compare.plan import StudyPlan
from foveate.compare.planned import BASELINE, Key
from foveate.compare.run_files import training_folder
from foveate.files import write_json
from foveate.infer.saved import CONFIG, FOLDER
from foveate.recipe import TrainConfig
from foveate.tasks.metric import Metric
from foveate.tensor_file import WEIGHTS, read_tensors, save_tensors


@dataclass(frozen=True)
class Choice:
    """Which training is kept, and why; with folds, that of one fold."""

    variant: str
    seed: int
    reason: str
    fold: int | None = None


def choose(plan: StudyPlan, variant: str, records: Mapping[Key, Mapping[str, Any]], metric: Metric) -> Choice:
    """Return the best seed of the recommended variant, or of the baseline if none is shown to help.

    The best seed is the one whose weights did best on the validation split. Without one it is
    the seed of the median test score: the best test score would be optimistic. With folds every training of
    every seed is a candidate, and its test score is that of its fold.

    Args:
        plan: The study's.
        variant: The one that is recommended.
        records: The record of every run.
        metric: What the scores are.
    """
    sign = 1 if metric.higher_is_better else -1
    helps = variant != BASELINE
    why = "it is recommended" if helps else "no variant is shown to help, so it is the baseline"
    made = {
        (seed, fold): training
        for seed in plan.seeds
        if (variant, seed) in records
        for fold, training in _trainings(records[variant, seed])
    }
    validated = {key: validation_score(training, plan.train, metric) for key, training in made.items()}
    known = {key: sign * value for key, value in validated.items() if value is not None}
    if len(known) == len(made):
        seed, fold = max(known, key=lambda key: known[key])
        return Choice(variant, seed, f"{why}; {_named(seed, fold)} the best validation score", fold)
    tested = {key: sign * training["score"] for key, training in made.items()}
    ranked = sorted((k for k in tested if not math.isnan(tested[k])), key=lambda k: tested[k]) or [*tested]
    seed, fold = ranked[(len(ranked) - 1) // 2]
    return Choice(variant, seed, f"{why}; {_named(seed, fold)} the median test score", fold)


def _trainings(record: Mapping[str, Any]) -> list[tuple[int | None, Mapping[str, Any]]]:
    """Return the trainings of a run with the numbers of their folds; of a lone one None."""
    return [*enumerate(record["folds"], 1)] if "folds" in record else [(None, record)]


def _named(seed: int, fold: int | None) -> str:
    if fold is None:
        return f"of its seeds, {seed} has"
    return f"of its trainings, that of seed {seed} on all but fold {fold} has"


def save_best(plan: StudyPlan, choice: Choice, folder: Path, saved: Mapping[str, Any]) -> Path:
    """Copy the chosen run's weights to ``best/`` and write beside them what the model is.

    Args:
        plan: The study's.
        choice: Which run.
        folder: The study's folder.
        saved: The inputs of the task, as a saved model carries them.
    """
    target = Path(folder) / FOLDER
    target.mkdir(parents=True, exist_ok=True)
    (target / CONFIG).unlink(missing_ok=True)  # written last: where it is, the weights belong to it
    weights, header = read_tensors(
        training_folder(folder, choice.variant, choice.seed, choice.fold) / WEIGHTS
    )
    total = save_tensors(weights, target / WEIGHTS, header)  # the header says which form of a network it is
    write_json(target / CONFIG, _config(plan, choice, saved) | {"checksum": total})
    return target


def validation_score(record: Mapping[str, Any], config: TrainConfig, metric: Metric) -> float | None:
    """Return the validation score of the weights that a run has saved; None if there is none.

    Those of the best epoch if the recipe keeps it, else of the last; runs of older versions do not record
    it.
    """
    if "val_score" in record:
        value = record["val_score"]
        return None if value is None or math.isnan(value) else float(value)
    told = [entry["val_score"] for entry in record["history"]]
    scores = [value for value in told if value is not None and not math.isnan(value)]
    if not scores or len(scores) < len(told):
        return None
    if not config.keep_best:
        return float(scores[-1])
    return float(max(scores) if metric.higher_is_better else min(scores))


def _config(plan: StudyPlan, choice: Choice, saved: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model": plan.variant(choice.variant).model or plan.model,
        "variant": choice.variant,
        "spec": plan.variant(choice.variant).spec,
        "start": plan.start,
        "pretrained": plan.pretrained,
        "seed": choice.seed,
        **({} if choice.fold is None else {"fold": choice.fold}),
        "chosen": choice.reason,
        "format": 1,
        "task": plan.task,
        "plugins": list(plan.plugins),
        **saved,
    }
