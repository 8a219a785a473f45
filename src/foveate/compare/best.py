"""The model that a study recommends, kept with all it takes to use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foveate.compare.plan import BASELINE, Key, StudyPlan
from foveate.compare.run import run_folder
from foveate.compare.saved import CONFIG
from foveate.compare.trained import FOLDER, description
from foveate.compare.verdict import HELPS
from foveate.data.base import ImageData
from foveate.files import write_json
from foveate.tensor_file import load_tensors, save_tensors
from foveate.train.result import WEIGHTS


@dataclass(frozen=True)
class Choice:
    """Which run is kept, and why."""

    variant: str
    seed: int
    reason: str


def choose(
    plan: StudyPlan,
    verdicts: Mapping[str, str],
    gains: Mapping[str, float],
    records: Mapping[Key, Mapping[str, Any]],
) -> Choice:
    """Return the variant that helps most if one is shown to help, else the baseline; and its best seed.

    The best seed has the highest validation score at the end. Without validation images it is the seed of the
    median test score: picking the best test score would flatter it.

    Args:
        plan: The study's.
        verdicts: Verdict of each variant; controls left out.
        gains: Mean gain of each, more being better.
        records: The record of every run.
    """
    helping = sorted((n for n, verdict in verdicts.items() if verdict in HELPS), key=lambda n: -gains[n])
    variant = helping[0] if helping else BASELINE
    why = "it helps most" if helping else "no variant is shown to help, so it is the baseline"
    runs = {seed: records[variant, seed] for seed in plan.seeds}
    validated = {seed: _validated(record) for seed, record in runs.items()}
    if all(value is not None for value in validated.values()):
        seed = max(validated, key=lambda s: validated[s] or 0.0)
        return Choice(variant, seed, f"{why}; of its seeds, {seed} has the best validation score")
    ranked = sorted(runs, key=lambda s: runs[s]["score"])
    seed = ranked[(len(ranked) - 1) // 2]
    return Choice(variant, seed, f"{why}; of its seeds, {seed} has the median test score")


def save_best(plan: StudyPlan, choice: Choice, folder: Path, data: ImageData) -> Path:
    """Copy the chosen run's weights to ``best/`` and write beside them what the model is."""
    target = Path(folder) / FOLDER
    target.mkdir(parents=True, exist_ok=True)
    (target / CONFIG).unlink(missing_ok=True)  # written last: where it is, the weights belong to it
    weights = load_tensors(run_folder(folder, choice.variant, choice.seed) / WEIGHTS)
    total = save_tensors(weights, target / WEIGHTS)
    write_json(target / CONFIG, _config(plan, choice, data) | {"checksum": total})
    return target


def _validated(record: Mapping[str, Any]) -> float | None:
    history = record["history"]
    value: float | None = history[-1]["val_score"] if history else None
    return value


def _config(plan: StudyPlan, choice: Choice, data: ImageData) -> dict[str, Any]:
    return {
        "model": plan.model,
        "variant": choice.variant,
        "spec": plan.variant(choice.variant).spec,
        "start": plan.start,
        "pretrained": plan.pretrained,
        "seed": choice.seed,
        "chosen": choice.reason,
    } | description(plan.task, data, plan.size, plan.normalisation)
