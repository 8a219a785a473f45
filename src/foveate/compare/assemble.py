"""From finished runs to the plain data of a report: statistics, verdicts, costs, cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from foveate.compare import measured, summary
from foveate.compare.best import choose
from foveate.compare.chance import chance_sentence
from foveate.compare.joined import of_items
from foveate.compare.judgement import Judgement, kept_runs, stacked
from foveate.compare.plan import StudyPlan
from foveate.compare.planned import BASELINE, Key, PlannedVariant
from foveate.compare.provenance import recipe, versions
from foveate.compare.trained_out import still_rising
from foveate.compare.trainings import Training
from foveate.data.checks.finding import Finding
from foveate.data.feed import Feed
from foveate.tasks.base import Task
from foveate.tasks.confusion_matrix import confusion_data
from foveate.tasks.judged import Answers

Records = Mapping[Key, Mapping[str, Any]]
SHARE_OF_MAPS = 0.025  # of the training's forward and backward passes, to judge maps with
PASSES_A_STEP = 3  # a backward pass costs about two forward passes


def assemble(
    plan: StudyPlan,
    task: Task,
    feeds: Mapping[str, Feed],
    records: Records,
    models: Mapping[str, nn.Module],
    folder: Path,
    findings: Sequence[Finding],
    training: Training,
) -> dict[str, Any]:
    """Return the result of a study whose runs are all done.

    Args:
        plan: The study's.
        task: What was learnt.
        feeds: The splits of the data.
        records: The record of every run.
        models: The trained model of every variant's first seed.
        folder: The study's folder.
        findings: What the check of the data found.
        training: The one of a run that the models come from: pictures show the items that it was tested on.
    """
    runs = kept_runs(plan, folder, records, len(plan.seeds))
    shown = {name: of_items(whole[0][1], training.items) for name, whole in runs.items()}
    matrices = _confusions(runs, task, feeds["test"])
    judged = Judgement(plan, task, feeds["test"], stacked(runs))
    latency = measured.latencies(models, task, plan.train.batch_size)
    variants = [
        _variant(v, judged, records, models[v.name])
        | {"latency": latency[v.name], "confusion": confusion_data(matrices.get(v.name), task.classes)}
        for v in plan.variants
    ]
    chance = task.metric.scale * task.chance(feeds)
    lost = chance_sentence({v["name"]: v["score"] for v in variants}, chance, judged.terms)
    rising = still_rising(plan, records, task.metric, judged.terms)
    choice = choose(plan, judged.recommended, records, task.metric)
    test = training.feeds()["test"]
    with measured.on_device(models):
        maps = task.judged_maps(models, test, shown, _passes(records, len(models)))
    return {
        "foveate": versions()["foveate"],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "question": _question(plan, task),
        "sentence": " ".join(filter(None, (judged.sentence, lost, "" if judged.is_decided else rising))),
        "chance": chance,
        "could_have_found": judged.could_have_found,
        "best": asdict(choice),
        "variants": variants,
        "checks": [asdict(finding) for finding in (*findings, *_as_finding(rising))],
        "recipe": recipe(plan),
        "runs": [_run(plan, key, record, task) for key, record in records.items() if "steps" in record],
        "judged_maps": maps,
        "pictures": task.cards(
            models,
            test,
            shown,
            {name: scores[training.items] for name, scores in judged.of_items().items()},
        ),
    }


def _passes(records: Records, models: int) -> int:
    """Return how many forward passes of each model judging maps may cost: a share of the training's."""
    trained = sum(record.get("images", 0) for record in records.values())
    return int(SHARE_OF_MAPS * PASSES_A_STEP * trained / models)


def _as_finding(warning: str) -> list[Finding]:
    return [Finding("not trained out", "warning", warning, ())] if warning else []


def _confusions(
    runs: Mapping[str, Sequence[tuple[np.ndarray, Answers]]], task: Task, test: Feed
) -> dict[str, np.ndarray]:
    """Return which class was taken for which by each variant, over its seeds; of tasks that have classes."""
    found = {name: [task.confusion(given, test) for _, given in whole] for name, whole in runs.items()}
    counted = {name: [m for m in each if m is not None] for name, each in found.items()}
    return {name: np.sum(each, axis=0) for name, each in counted.items() if each}


def _variant(v: PlannedVariant, judged: Judgement, records: Records, model: nn.Module) -> dict[str, Any]:
    plan = judged.plan
    seeds = plan.seeds[: len(judged.kept[v.name])]
    histories = {seed: records[v.name, seed]["history"] for seed in seeds}
    return {
        "name": v.name,
        "spec": v.spec,
        "model": v.model,
        "role": v.role,
        "control": v.control,
        "cost": {"parameters": v.parameters, "macs": v.macs, "bytes": v.bytes},
        **judged.of(v),
        "memory": measured.memory(model, judged.task, plan.train.batch_size),
        "gates": summary.gates(list(histories.values())),
        "curves": summary.curves(histories, judged.metric),
    }


def _question(plan: StudyPlan, task: Task) -> dict[str, Any]:
    return {
        "mode": plan.mode,
        "model": plan.model,
        "data": plan.data,
        "task": plan.task,
        "items_called": task.items,
        "facts": list(task.facts()),
        "classes": list(task.classes),
        "metric": asdict(task.metric),
        "margin": plan.margin,
        "level": plan.level,
        "seeds": list(plan.seeds),
        "epochs": plan.train.epochs,
        "branch_epochs": plan.branch_epochs,
        "folds": None if plan.folds is None else len(plan.folds.sizes),
        "train_items": min(plan.trained_on),
        "items": plan.judged_on,
        "size": plan.inputs.get("size"),
        "command": plan.command,
    }


def _run(plan: StudyPlan, key: Key, record: Mapping[str, Any], task: Task) -> dict[str, Any]:
    scale, score = task.metric.scale, record.get("score")
    known = {v.name: v.parameters for v in plan.variants}
    return {
        "variant": key[0],
        "seed": key[1],
        "score": None if score is None else scale * score,
        **{name: record[name] for name in ("seconds", "images_per_second", "steps", "images")},
        "parameters": known.get(key[0], known[BASELINE]),
    }
